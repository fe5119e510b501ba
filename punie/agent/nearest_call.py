"""From a wrong call to the nearest right one: what a model most likely meant.

Models have learned the names of other agents' tools and arguments; those are known
(`usual_names`), and the rest is told by likeness. Nothing is run on a guess: the right call is
only shown.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import ValidationError

from punie.agent.usual_names import ARGUMENT_NAMES, IMPLIED, TOOL_NAMES
from punie.tools.base import AnyTool
from punie.tools.parameters import parameters_schema

_SHOWN_CHARS = 60


def closest_call(
    name: str, given: Mapping[str, Any], tools: Sequence[AnyTool]
) -> tuple[AnyTool, dict[str, Any]] | None:
    """Return the tool that a wrong name most likely means, and what the call gives it.

    None if no tool is like it. What the name itself says, as `git_status` does, is given too.
    """
    wanted = _plain(name.rpartition(".")[2].rpartition(":")[2])
    implied = next((said for known, said in IMPLIED.items() if _plain(known) == wanted), {})
    filled = {**implied, **given}
    named = [
        tool
        for tool in tools
        if wanted in (_plain(known) for known in (tool.name, *TOOL_NAMES.get(tool.name, ())))
    ]
    if named:
        # Of several tools the one that has a place for the most of what is given.
        return max(named, key=partial(_fit, given=filled)), filled
    close = difflib.get_close_matches(wanted, [tool.name for tool in tools], n=1, cutoff=0.6)
    return next(((tool, filled) for tool in tools if tool.name in close), None)


def _fit(tool: AnyTool, given: Mapping[str, Any]) -> int:
    return len(nearest_arguments(tool, parameters_schema(tool), given) or ())


def nearest_arguments(
    tool: AnyTool, schema: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return arguments that are valid and close to the given ones, or None if none are found.

    Names are corrected, values that a list of objects should hold are put into one, single values
    where a list belongs too, a list of one gives way to what it holds where none belongs, and what
    has no place is left out.
    """
    properties: Mapping[str, Any] = schema.get("properties", {})
    found, others = _renamed(given, schema)
    for name, shape in properties.items():
        if shape.get("type") != "array":
            if name in found:
                found[name] = _single(found[name])
            continue
        item = shape.get("items", {})
        if name not in found and others:
            found[name] = [others]
            others = {}
        if name in found:
            found[name] = _listed(found[name], item)
    found = {name: found[name] for name in properties if name in found}
    try:
        tool.arguments.model_validate(found)
    except ValidationError:
        return None
    return found


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _listed(value: Any, item: Mapping[str, Any]) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if item.get("type") != "object":
        return values
    return [_renamed(each, item)[0] if isinstance(each, dict) else each for each in values]


def _renamed(
    given: Mapping[str, Any], schema: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is given under the schema's names, and what none of them is like."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    found = {
        name: value
        for name, value in given.items()
        if name in properties and not _is_text_for_a_flag(value, properties[name])
    }
    others = {name: value for name, value in given.items() if name not in found}
    for name in properties:
        usual = ARGUMENT_NAMES.get(name, ())
        other = next((o for known in (name, *usual) for o in others if _same(known, o)), None)
        if name not in found and other is not None:
            found[name] = others.pop(other)
    for other in list(others):
        free = [name for name in properties if name not in found]
        close = difflib.get_close_matches(_plain(other), free, n=1, cutoff=0.6)
        if close:
            found[close[0]] = others.pop(other)
    return {name: found[name] for name in properties if name in found}, others


def shown_call(tool: AnyTool, arguments: Mapping[str, Any]) -> str:
    """Return a call as one line that a model can copy, with long values cut."""
    return f"{tool.name} {json.dumps(_cut(arguments), ensure_ascii=False)}"


def _cut(value: Any) -> Any:
    match value:
        case str():
            return value if len(value) <= _SHOWN_CHARS else value[: _SHOWN_CHARS - 1] + "…"
        case list():
            return [_cut(each) for each in value]
        case Mapping():
            return {name: _cut(each) for name, each in value.items()}
        case _:
            return value


def _is_text_for_a_flag(value: Any, shape: Mapping[str, Any]) -> bool:
    """Whether a name means something else elsewhere: `regex` is often the pattern itself."""
    words = ("true", "false")
    return (
        shape.get("type") == "boolean"
        and isinstance(value, str)
        and value.strip().casefold() not in words
    )


def _same(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").casefold()
