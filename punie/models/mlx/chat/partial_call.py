"""Follows a call while it is written: its name, then its arguments as growing JSON.

Only what is certain is told: it stops where a value could end in two ways, and the rest comes
with the whole call. So the pieces are always the beginning of the call's arguments as
`json.dumps(arguments, ensure_ascii=False)` writes them.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from punie.models.mlx.chat.calls import ToolSchemas, properties_of
from punie.models.mlx.chat.markup import MARK, Markers
from punie.models.mlx.chat.values import (
    NotJsonError,
    coerce,
    fit,
    has_surrogate,
    parse_json,
    types_of,
)
from punie.models.mlx.chat.xml_values import CLOSE_PARAMETER, HEAD, PARAMETER

_ANY_TAG = re.compile("</?(?:parameter|function)|[\ud800-\udfff]")
_TAG_STARTS = ("</parameter", "</function", "<parameter", "<function")

_NAME = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"\\\ud800-\udfff]+)"')
_ARGUMENTS = re.compile(r'\s*,\s*"(?:arguments|parameters)"\s*:\s*\{')
_KEY = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*:\s*', re.DOTALL)
_NEXT = re.compile(r"\s*(,|\})")
_TEXT = re.compile(r'(?:[^"\\]|\\[^u]|\\u[0-9a-fA-F]{4})*', re.DOTALL)
_SURROGATE_AT_END = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SCALAR = re.compile(r"[^\s,}\]]+(?=[\s,}\]])")
_BRACKET = re.compile(r'[{}\[\]"]')
_QUOTE = re.compile(r'\\(.?)|"', re.DOTALL)


class PartialCall(Protocol):
    """Reads the beginning of one call out of a text that grows."""

    name: str | None

    def advance(self, text: str) -> str:
        """Return more of the arguments; `text` is all that was written of the call so far."""
        ...


def begin_call(text: str, tools: ToolSchemas, markers: Markers) -> PartialCall | None:
    """Return what reads the block that begins with `text`; None while its form is not clear."""
    start = text.lstrip()[:1]
    if start == "<":
        return PartialXmlCall(tools, markers)
    return PartialJsonCall(tools) if start == "{" else None


class _Arguments:
    """What both forms share: the tool's schema, and the keys told so far."""

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        self.root = schema or {}
        self.known = properties_of(schema)
        self.given: set[str] = set()

    def is_new(self, key: str) -> bool:
        return key not in self.given and (not self.known or key in self.known)

    def key(self, key: str) -> str:
        opening = ", " if self.given else "{"
        self.given.add(key)
        return f"{opening}{_dumps(key)}: "

    def types(self, key: str) -> frozenset[str]:
        return types_of(self.known.get(key), self.root)


class PartialXmlCall:
    """Follows `<function=name>` with its parameters."""

    def __init__(self, tools: ToolSchemas, markers: Markers) -> None:
        self.name: str | None = None
        self._tools = tools
        self._markers = markers
        self._state: Literal["head", "body", "text", "other", "quiet"] = "head"
        self._arguments = _Arguments(None)
        self._key = ""
        self._start = 0  # of the value
        self._told = 0  # where the text goes on that was not told yet
        self._from = 0  # where to go on looking for tags

    def advance(self, text: str) -> str:
        """Return more of the arguments; `text` is all that was written of the call so far."""
        pieces: list[str] = []
        while self._state != "quiet":
            before = (self._state, self._told)
            match self._state:
                case "head":
                    self._head(text)
                case "body":
                    pieces.append(self._body(text))
                case "text":
                    pieces.append(self._text_value(text))
                case "other":
                    pieces.append(self._other_value(text))
            if (self._state, self._told) == before:
                break
        return "".join(pieces)

    def _head(self, text: str) -> None:
        if head := HEAD.match(text):
            self.name = self._markers.read(head.group(1)).strip()
            self._arguments = _Arguments(self._tools.get(self.name))
            self._state, self._told = "body", head.end()

    def _body(self, text: str) -> str:
        parameter = PARAMETER.match(text, self._told)
        if parameter is None:
            rest = text[self._told :].lstrip()
            if not ("<parameter=".startswith(rest) or rest.startswith("<parameter=")):
                self._state = "quiet"
            return ""
        self._key = self._markers.read(parameter.group(1)).strip()
        if self._key in self._arguments.given:
            self._state = "quiet"
            return ""
        only_text = self._arguments.types(self._key) == {"string"}
        self._state = "text" if only_text else "other"
        self._start = self._told = self._from = parameter.end()
        return self._arguments.key(self._key) + ('"' if only_text else "")

    def _text_value(self, text: str) -> str:
        if self._told == self._start and text[self._start : self._start + 1] == "\n":
            self._told += 1  # The line break that the format puts before the value.
        tag = _ANY_TAG.search(text, self._from)
        if tag is None:
            end = len(text) - _held(text[max(self._told, len(text) - 200) :])
            self._from = max(self._from, len(text) - len(_TAG_STARTS[0]))
            return self._tell(text, end)
        self._from = tag.start()
        follows = self._follows(text, tag.start())
        if follows == "next":
            end = tag.start() - (text[self._told : tag.start()][-1:] == "\n")
            piece = self._tell(text, end) + '"'
            self._state, self._told = "body", tag.start() + len(CLOSE_PARAMETER)
            return piece
        piece = self._tell(text, _before_line_break(text, self._told, tag.start()))
        if follows == "unclear":
            return piece
        self._state = "quiet"
        return piece

    def _tell(self, text: str, end: int) -> str:
        if end <= self._told:
            return ""
        piece = text[self._told : end]
        self._told = end
        return _dumps(piece)[1:-1]

    def _other_value(self, text: str) -> str:
        tag = _ANY_TAG.search(text, self._from)
        if tag is None:
            self._from = max(self._from, len(text) - len(_TAG_STARTS[0]))
            return ""
        self._from = tag.start()
        follows = self._follows(text, tag.start())
        if follows == "unclear":
            return ""
        self._state = "quiet"
        if follows != "next":
            return ""
        raw = text[self._start : tag.start()].removeprefix("\n").removesuffix("\n")
        try:
            value = coerce(raw, self._arguments.known.get(self._key), self._arguments.root)
        except NotJsonError:
            return ""
        may_be_text = "string" in self._arguments.types(self._key)
        if has_surrogate(value) or (isinstance(value, str) and not may_be_text):
            return ""
        self._state, self._told = "body", tag.start() + len(CLOSE_PARAMETER)
        return _dumps(value)

    def _follows(self, text: str, start: int) -> Literal["next", "unclear", "other"]:
        """Tell whether the tag at `start` ends a value because another parameter follows."""
        if not text.startswith(CLOSE_PARAMETER, start):
            begun = CLOSE_PARAMETER.startswith(text[start : start + len(CLOSE_PARAMETER)])
            return "unclear" if begun else "other"
        after = start + len(CLOSE_PARAMETER)
        if parameter := PARAMETER.match(text, after):
            key = self._markers.read(parameter.group(1)).strip()
            return "next" if self._arguments.is_new(key) else "other"
        rest = text[after : after + 300].lstrip()
        begun = "<parameter=".startswith(rest) or rest.startswith("<parameter=")
        return "unclear" if begun else "other"


class PartialJsonCall:
    """Follows `{"name": ..., "arguments": {...}}` as long as it is plain JSON in that order."""

    def __init__(self, tools: ToolSchemas) -> None:
        self.name: str | None = None
        self._tools = tools
        self._state: Literal["name", "arguments", "key", "value", "text", "next", "quiet"] = "name"
        self._arguments = _Arguments(None)
        self._key = ""
        self._at = 0
        self._depth = 0  # of a nested value, as far as it was looked at
        self._in_string = False
        self._from = 0
        self._seen = 0

    def advance(self, text: str) -> str:
        """Return more of the arguments; `text` is all that was written of the call so far."""
        pieces: list[str] = []
        while self._state != "quiet":
            before = (self._state, self._at)
            if MARK.search(text, self._seen):
                self._state = "quiet"
                break
            self._seen = len(text)
            match self._state:
                case "name":
                    if found := _NAME.match(text):
                        self.name = found.group(1)
                        self._arguments = _Arguments(self._tools.get(self.name))
                        self._state, self._at = "arguments", found.end()
                case "arguments":
                    if found := _ARGUMENTS.match(text, self._at):
                        self._state, self._at = "key", found.end()
                case "key":
                    pieces.append(self._read_key(text))
                case "value":
                    pieces.append(self._value(text))
                case "text":
                    pieces.append(self._text_value(text))
                case "next":
                    if found := _NEXT.match(text, self._at):
                        self._state = "key" if found.group(1) == "," else "quiet"
                        self._at = found.end()
            if (self._state, self._at) == before:
                break
        return "".join(pieces)

    def _read_key(self, text: str) -> str:
        found = _KEY.match(text, self._at)
        # Behind the colon something has to stand, or its white space might go on.
        if found is None or found.end() == len(text):
            return ""
        try:
            self._key = parse_json(f'"{found.group(1)}"')
        except NotJsonError:
            self._state = "quiet"
            return ""
        if self._key in self._arguments.given or has_surrogate(self._key):
            self._state = "quiet"
            return ""
        self._at = found.end()
        as_text = text[self._at] == '"' and "string" in self._arguments.types(self._key)
        self._state = "text" if as_text else "value"
        self._from, self._depth, self._in_string = self._at, 0, False
        self._at += as_text
        return self._arguments.key(self._key) + ('"' if as_text else "")

    def _text_value(self, text: str) -> str:
        found = _TEXT.match(text, self._at)
        raw = found.group() if found else ""
        if half := _SURROGATE_AT_END.search(raw):
            raw = raw[: half.start()]
        end = self._at + len(raw)
        try:
            piece = parse_json(f'"{raw}"')
        except NotJsonError:
            piece = None
        if piece is None or has_surrogate(piece):
            self._state = "quiet"
            return ""
        self._at = end
        closed = text[end : end + 1] == '"'
        if closed:
            self._state, self._at = "next", end + 1
        return _dumps(piece)[1:-1] + ('"' if closed else "")

    def _value(self, text: str) -> str:
        end = self._value_end(text)
        if end is None:
            return ""
        schema = self._arguments.known.get(self._key)
        try:
            value = fit(parse_json(text[self._at : end]), schema, self._arguments.root)
        except NotJsonError:
            self._state = "quiet"
            return ""
        if has_surrogate(value):
            self._state = "quiet"
            return ""
        self._state, self._at = "next", end
        return _dumps(value)

    def _value_end(self, text: str) -> int | None:
        first = text[self._at]
        if first == '"':
            found = _STRING.match(text, self._at)
            return found.end() if found else None
        if first not in "{[":
            found = _SCALAR.match(text, self._at)
            return found.end() if found else None
        while found := (_QUOTE if self._in_string else _BRACKET).search(text, self._from):
            sign = found.group()
            if sign == "\\":
                return None  # What it escapes is still to come.
            self._from = found.end()
            if sign == '"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._depth += 1 if sign in "{[" else -1
                if not self._depth:
                    return self._from
        self._from = len(text)
        return None


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _held(tail: str) -> int:
    """Return how many last characters could belong to the end of a value."""
    position = tail.rfind("<")
    if position < 0 or not any(start.startswith(tail[position:]) for start in _TAG_STARTS):
        position = len(tail)
    return len(tail) - _before_line_break(tail, 0, position)


def _before_line_break(text: str, start: int, end: int) -> int:
    """Return where the line break before `end` begins, or `end` if none stands there."""
    line = text.rfind("\n", start, end)
    return line if line >= 0 and not text[line:end].strip() and line >= start else end
