"""Reading calls that are JSON objects with a name and arguments, as Qwen2.5 and Qwen3 write them.

Source: the chat templates of Qwen2.5 and Qwen3 (the Hermes form).
"""

import re
from collections.abc import Iterator
from typing import Any

from punie.models.mlx.chat.calls import (
    CUT_OFF,
    HALF_CHARACTER,
    NO_ARGUMENTS,
    NO_NAME,
    Block,
    Call,
    Fault,
    RefusedError,
    ToolSchemas,
    properties_of,
)
from punie.models.mlx.chat.markup import Markers
from punie.models.mlx.chat.values import (
    DECODER,
    DuplicateKeyError,
    NotJsonError,
    fit,
    has_surrogate,
    read_json,
)

_UNESCAPED_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"')
_BETWEEN = re.compile(r"\s*,?\s*")
_LONGEST_QUOTE = 40


def read_json_calls(
    text: str, tools: ToolSchemas, markers: Markers, *, closed: bool
) -> Block | Fault:
    """Read the calls of a block; `closed` tells that its closing marker follows the text."""
    body = markers.read(text).strip()
    try:
        calls = tuple(_call(found, tools) for found in _objects(body))
        return Block(calls) if calls else Fault(NO_NAME)
    except RefusedError as refusal:
        reason = refusal.fault.reason
    in_string = len(_UNESCAPED_QUOTE.findall(body)) % 2 == 1
    if not closed and (in_string or not body.endswith(("}", "]"))):
        return Fault(CUT_OFF, unfinished=True)
    return Fault(reason, unfinished=in_string or not closed)


def _objects(body: str) -> Iterator[Any]:
    """Yield the objects of a block: one, several behind one another, or those of a list."""
    try:
        found = list(_one_by_one(body))
    except DuplicateKeyError as error:
        raise RefusedError(f"In the tool call {error}; give it once.") from None
    except (ValueError, RecursionError) as error:
        fault = error
        try:
            found = [read_json(body)]
        except DuplicateKeyError as duplicate:
            raise RefusedError(f"In the tool call {duplicate}; give it once.") from None
        except NotJsonError:
            raise RefusedError(f"The tool call is not valid JSON: {_where(fault)}.") from None
    for item in found:
        yield from item if isinstance(item, list) else [item]


def _one_by_one(body: str) -> Iterator[Any]:
    position = 0
    while position < len(body):
        value, position = DECODER.raw_decode(body, position)
        yield value
        between = _BETWEEN.match(body, position)
        position = between.end() if between else position


def _where(error: Exception) -> str:
    """Say what is wrong with a JSON text, and where, in the words of its reader."""
    message, position = getattr(error, "msg", str(error)), getattr(error, "pos", None)
    if position is None:
        return message or "it is nested too deeply"
    near = str(getattr(error, "doc", ""))[position : position + _LONGEST_QUOTE]
    return f"{message} at {near!r}" if near else f"{message} at its end"


def _call(data: Any, tools: ToolSchemas) -> Call:
    name = data.get("name") if isinstance(data, dict) else None
    if not isinstance(name, str) or not name:
        raise RefusedError(NO_NAME)
    arguments = data.get("arguments", data.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments)
        except NotJsonError:
            raise RefusedError(NO_ARGUMENTS) from None
    if not isinstance(arguments, dict):
        raise RefusedError(NO_ARGUMENTS)
    root = tools.get(name) or {}
    properties = properties_of(root)
    try:
        fitted = {key: fit(item, properties.get(key), root) for key, item in arguments.items()}
    except DuplicateKeyError as error:
        raise RefusedError(f"In the tool call {error}; give it once.") from None
    if has_surrogate([name, fitted]):
        raise RefusedError(HALF_CHARACTER)
    return Call(name, fitted)
