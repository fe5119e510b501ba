"""Reading one tool call out of a model's text, in the XML and in the JSON form.

The scanners look at text that may still grow: they answer with a call, with what is wrong, or
with None, which means that more text is needed.
"""

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from punie.models.mlx.values import coerce, recoerce

ToolSchemas = Mapping[str, Mapping[str, Any]]
"""The JSON schema of each tool's arguments, by the tool's name."""

FUNCTION = "<function="
CLOSE_CALL = "</tool_call>"

_HEAD = re.compile(r"<function=([^>\n]*)[>\n]")
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]*)[>\n]")
_CLOSE_FUNCTION = re.compile(r"\s*</function>")
_CLOSE_PARAMETER = re.compile(r"</parameter>")
_LENIENT_END = re.compile(r"<parameter=|</function>")
_NAME = re.compile(r'<function=\s*([\w.:-]+)|"name"\s*:\s*"([^"\\]*)"')
_UNESCAPED_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"')
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True)
class Call:
    """A whole call; `end` is where the text goes on after it."""

    name: str
    arguments: dict[str, Any]
    end: int


@dataclass(frozen=True)
class Fault:
    """Why the text up to `end` is no call, as a sentence for the model."""

    reason: str
    end: int


CUT_OFF = "The tool call was cut off before its end; repeat it, with shorter arguments."


def likely_name(raw: str) -> str | None:
    """Return the tool that a broken call seems to mean."""
    match = _NAME.search(raw)
    return (match.group(1) or match.group(2)) if match else None


def scan_call(text: str, tools: ToolSchemas, *, final: bool) -> Call | Fault | None:
    """Read what follows `<tool_call>`, in either form; `final` tells that no text follows."""
    start = len(text) - len(text.lstrip())
    if text.startswith("{", start):
        return _scan_json(text, start, tools, final=final)
    if text.startswith(FUNCTION, start):
        return scan_xml(text, start, tools, final=final)
    if FUNCTION.startswith(text[start:]) and not final:
        return None
    end = text.find(CLOSE_CALL)
    if end < 0:
        return Fault(CUT_OFF, len(text)) if final else None
    return Fault("The tool call names no function.", end + len(CLOSE_CALL))


def scan_xml(text: str, start: int, tools: ToolSchemas, *, final: bool) -> Call | Fault | None:
    """Read `<function=name>...</function>` at `start`."""
    result = _scan_strict(text, start, tools)
    if result is None and final:
        return _scan_lenient(text, start, tools)
    return result


def _scan_strict(text: str, start: int, tools: ToolSchemas) -> Call | None:
    head = _HEAD.match(text, start)
    if head is None:
        return None
    name = head.group(1).strip()
    schema = tools.get(name)
    arguments: dict[str, Any] = {}
    position = head.end()
    while True:
        if close := _CLOSE_FUNCTION.match(text, position):
            return Call(name, arguments, close.end())
        parameter = _PARAMETER.match(text, position)
        if parameter is None:
            return None
        end = _value_end(text, parameter.end(), schema)
        if end is None:
            return None
        _put(arguments, parameter.group(1), text[parameter.end() : end[0]], schema)
        position = end[1]


def _value_end(text: str, start: int, schema: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """Find the closer of a value: the first after which the call goes on as a call does.

    A literal `</parameter>` in a value is followed by something else. Returns where the value
    ends and where the call goes on.
    """
    known = (schema or {}).get("properties") or {}
    for closer in _CLOSE_PARAMETER.finditer(text, start):
        if _CLOSE_FUNCTION.match(text, closer.end()):
            return closer.start(), closer.end()
        following = _PARAMETER.match(text, closer.end())
        if following and (not known or following.group(1).strip() in known):
            return closer.start(), closer.end()
    return None


def _scan_lenient(text: str, start: int, tools: ToolSchemas) -> Call | Fault:
    """Read a call that is over but not well formed: closers may be missing."""
    limit = text.find(CLOSE_CALL, start)
    limit = len(text) if limit < 0 else limit
    after = min(len(text), limit + len(CLOSE_CALL))
    head = _HEAD.match(text, start, limit)
    if head is None or "</function>" not in text[start:limit]:
        return Fault(CUT_OFF, after)
    name = head.group(1).strip()
    schema = tools.get(name)
    arguments: dict[str, Any] = {}
    position = head.end()
    while True:
        if close := _CLOSE_FUNCTION.match(text, position, limit):
            return Call(name, arguments, close.end())
        parameter = _PARAMETER.match(text, position, limit)
        if parameter is None:
            return Fault(
                "The tool call is not well formed: expected <parameter=name> or </function>.", after
            )
        end = _LENIENT_END.search(text, parameter.end(), limit)
        if end is None:
            return Fault(CUT_OFF, after)
        closer = text.rfind("</parameter>", parameter.end(), end.start())
        stop = end.start() if closer < 0 else closer
        _put(arguments, parameter.group(1), text[parameter.end() : stop], schema)
        position = end.start()


def _put(arguments: dict[str, Any], key: str, raw: str, schema: Mapping[str, Any] | None) -> None:
    """Store a value without the one newline that the format puts on either side of it."""
    value = raw.removeprefix("\n").removesuffix("\n")
    name = key.strip()
    root = schema or {}
    arguments[name] = coerce(value, (root.get("properties") or {}).get(name), root)


def _scan_json(text: str, start: int, tools: ToolSchemas, *, final: bool) -> Call | Fault | None:
    try:
        data, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return _broken_json(text, start, tools, final=final)
    return _call_from_json(data, end, tools)


def _broken_json(text: str, start: int, tools: ToolSchemas, *, final: bool) -> Call | Fault | None:
    position = start
    while (close := text.find(CLOSE_CALL, position)) >= 0:
        body = text[start:close]
        position = close + len(CLOSE_CALL)
        if len(_UNESCAPED_QUOTE.findall(body)) % 2:
            continue  # The closer stands inside a string that is still being written.
        try:
            data = ast.literal_eval(body.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return Fault("The tool call is not valid JSON.", position)
        return _call_from_json(data, position, tools)
    return Fault(CUT_OFF, len(text)) if final else None


def _call_from_json(data: Any, end: int, tools: ToolSchemas) -> Call | Fault:
    name = data.get("name") if isinstance(data, dict) else None
    if not isinstance(name, str) or not name:
        return Fault('The tool call has no "name".', end)
    arguments = data.get("arguments", data.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, strict=False)
        except ValueError:
            return Fault('The "arguments" of the tool call are not a JSON object.', end)
    if not isinstance(arguments, dict):
        return Fault('The "arguments" of the tool call are not a JSON object.', end)
    root = tools.get(name) or {}
    properties = root.get("properties") or {}
    return Call(
        name,
        {key: recoerce(item, properties.get(key), root) for key, item in arguments.items()},
        end,
    )
