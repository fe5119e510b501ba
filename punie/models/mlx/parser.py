"""Streaming parser of a model's text: answer, thoughts and tool calls.

Markup never reaches the reader: what could be the start of a marker is held back until it is
clear. A call that cannot be read becomes a `MalformedCall`, never text and never nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from punie.models.mlx.calls import (
    CLOSE_CALL,
    FUNCTION,
    Fault,
    ToolSchemas,
    likely_name,
    scan_call,
    scan_xml,
)

CallSyntax = Literal["xml", "json"]

OPEN_CALL = "<tool_call>"
OPEN_THOUGHT = "<think>"
CLOSE_THOUGHT = "</think>"

_MARKERS = (OPEN_CALL, CLOSE_CALL, OPEN_THOUGHT, CLOSE_THOUGHT, FUNCTION)
_MARKER = re.compile("|".join(map(re.escape, _MARKERS)))
_FUNCTION_NAME = re.compile(r"<function=([^>\n]*)([>\n])")
_LONGEST_NAME = 200
"""Characters; a bare `<function=` with a longer name is prose."""


@dataclass(frozen=True)
class AnswerText:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class ThoughtText:
    """A piece of the model's thinking."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A whole tool call with its arguments as the tool's schema types them."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class MalformedCall:
    """A call that was cut off or broken; `name` is the tool it seems to mean."""

    name: str | None
    reason: str
    raw: str


ParserEvent = AnswerText | ThoughtText | ToolCall | MalformedCall


class ResponseParser:
    """Parses one response. `in_thought` tells that the prompt ended inside an open `<think>`."""

    def __init__(self, tools: ToolSchemas, syntax: CallSyntax, *, in_thought: bool = False) -> None:
        self._tools = tools
        self._syntax = syntax
        self._state: Literal["text", "thought", "call", "bare"] = (
            "thought" if in_thought else "text"
        )
        self._buffer = ""
        self._spaces = ""  # whitespace held back: dropped unless more of the same kind follows
        self._begun = False  # whether the current stretch of text or thought shows anything yet
        self._line_blank = True
        self._after_call = False

    def feed(self, text: str) -> list[ParserEvent]:
        """Return what `text` makes clear."""
        self._buffer += text
        if self._state in ("call", "bare") and not (">" in text or "}" in text):
            return []
        return list(self._parse(final=False))

    def finish(self) -> list[ParserEvent]:
        """Return what is left at the end of the response."""
        return list(self._parse(final=True))

    def _parse(self, *, final: bool) -> Iterator[ParserEvent]:
        progress = True
        while progress and self._buffer:
            before = (self._state, len(self._buffer))
            match self._state:
                case "text":
                    yield from self._parse_text(final=final)
                case "thought":
                    yield from self._parse_thought(final=final)
                case "call" | "bare":
                    yield from self._parse_call(final=final)
            progress = (self._state, len(self._buffer)) != before
        if final and self._state in ("call", "bare"):
            # The response ended right behind the marker.
            yield from self._parse_call(final=True)

    def _parse_text(self, *, final: bool) -> Iterator[ParserEvent]:
        position = 0
        while marker := _MARKER.search(self._buffer, position):
            before = self._buffer[: marker.start()]
            blank = not self._begun and not before.strip()
            word = marker.group()
            if word == OPEN_CALL:
                yield from self._visible(before)
                self._enter("call", marker.end())
                return
            if word == FUNCTION and self._syntax == "xml" and self._starts_line(before):
                name = _FUNCTION_NAME.match(self._buffer, marker.start())
                room = len(self._buffer) - marker.end() < _LONGEST_NAME
                if name is None and room and not final:
                    yield from self._visible(before)
                    self._buffer = self._buffer[marker.start() :]
                    return
                if name is not None and name.group(1).strip() in self._tools:
                    yield from self._visible(before)
                    self._enter("bare", marker.start())
                    return
            if word == OPEN_THOUGHT and blank:
                self._enter("thought", marker.end())
                return
            if (word == CLOSE_THOUGHT and blank) or (
                word == CLOSE_CALL and blank and self._after_call
            ):
                self._buffer = self._buffer[marker.end() :]
                position = 0
                continue
            position = marker.end()
        keep = 0 if final else _held_back(self._buffer, _MARKERS, position)
        cut = len(self._buffer) - keep
        yield from self._visible(self._buffer[:cut])
        self._buffer = self._buffer[cut:]

    def _starts_line(self, before: str) -> bool:
        line = before.rpartition("\n")
        return not line[2].strip() and (bool(line[1]) or self._line_blank)

    def _parse_thought(self, *, final: bool) -> Iterator[ParserEvent]:
        inside, marker, rest = self._buffer.partition(CLOSE_THOUGHT)
        if marker:
            yield from self._visible(inside)
            self._enter("text", len(self._buffer) - len(rest))
            return
        keep = 0 if final else _held_back(self._buffer, (CLOSE_THOUGHT,), 0)
        cut = len(self._buffer) - keep
        yield from self._visible(self._buffer[:cut])
        self._buffer = self._buffer[cut:]

    def _parse_call(self, *, final: bool) -> Iterator[ParserEvent]:
        if self._state == "call":
            result = scan_call(self._buffer, self._tools, final=final)
        else:
            result = scan_xml(self._buffer, 0, self._tools, final=final)
        if result is None:
            return
        raw = self._buffer[: result.end]
        if isinstance(result, Fault):
            yield MalformedCall(likely_name(raw), result.reason, raw.strip())
        else:
            yield ToolCall(result.name, result.arguments)
        self._enter("text", result.end)
        self._after_call = True

    def _enter(self, state: Literal["text", "thought", "call", "bare"], position: int) -> None:
        self._state = state
        self._buffer = self._buffer[position:]
        self._spaces = ""
        self._begun = False
        self._line_blank = True
        self._after_call = False

    def _visible(self, text: str) -> Iterator[ParserEvent]:
        """Yield text without the whitespace around the whole stretch."""
        if not text:
            return
        head, newline, tail = text.rpartition("\n")
        self._line_blank = not tail.strip() and (bool(newline) or self._line_blank)
        del head
        text = self._spaces + text
        if not self._begun:
            text = text.lstrip()
        shown = text.rstrip()
        self._spaces = text[len(shown) :]
        if shown:
            self._begun = True
            yield ThoughtText(shown) if self._state == "thought" else AnswerText(shown)


def _held_back(text: str, markers: tuple[str, ...], start: int) -> int:
    """Return how many last characters of `text` could be the beginning of a marker."""
    position = text.rfind("<", start)
    if position < 0:
        return 0
    tail = text[position:]
    return len(tail) if any(marker.startswith(tail) for marker in markers) else 0
