"""When one call is another: exactly, or in what it means."""

import posixpath
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from punie.tools.catalog import ALL_TOOLS
from punie.training.data.example import Function

_TOOLS = {tool.name: tool for tool in ALL_TOOLS}
_ROOT = "/project"
"""The project's folder, as trajectories have it."""
_PATHS = frozenset({"path", "to"})
_SAID = frozenset({"task", "question", "content"})
"""What people read; the content of a file is no such thing, see `_meaning`."""
_TYPED = frozenset({"command", "statement"})
"""Code in which white space between words only parts them."""


def is_exactly(call: Function, wanted: Function) -> bool:
    """Tell whether a call is the wanted one, argument by argument; null is "not given"."""
    given = {key: value for key, value in call.arguments.items() if value is not None}
    return bool(call.name == wanted.name and given == wanted.arguments)


def means_same(call: Function, wanted: Function) -> bool:
    """Tell whether a call does what the wanted one does.

    Defaults may be written out and paths in another way, also from the root of the file system. In
    commands layout does not matter, in what is said to people the case of letters neither.
    """
    return call.name == wanted.name and _meaning(call) == _meaning(wanted)


def _meaning(call: Function) -> dict[str, Any]:
    tool = _TOOLS.get(call.name)
    given = {name: value for name, value in call.arguments.items() if value is not None}
    if tool is not None:
        # What the tool would not take means what it says.
        with suppress(ValidationError):
            given = tool.arguments.model_validate(given).model_dump(mode="json")
    writes = call.name == "write_file"
    return {
        key: value if writes and key == "content" else _plain(key, value)
        for key, value in given.items()
        if value is not None
    }


def _plain(key: str, value: Any) -> Any:
    match value:
        case str() if key in _PATHS:
            return _path(value)
        case str() if key in _TYPED:
            return " ".join(value.split())
        case str() if key in _SAID:
            return " ".join(value.casefold().split()).rstrip(".?!")
        case list() if key == "paths":
            return [_path(each) if isinstance(each, str) else each for each in value]
        case list() if key in ("steps", "choices"):
            return [_plain("content", each) for each in value]
        case dict():
            return {name: _plain(name, each) for name, each in value.items()}
        case _:
            return value


def _path(text: str) -> str:
    plain = posixpath.normpath(text)
    return posixpath.relpath(plain, _ROOT) if posixpath.isabs(plain) else plain
