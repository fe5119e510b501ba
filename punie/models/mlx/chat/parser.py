"""Streaming parser of a model's output: answer, thoughts and tool calls.

Markup never reaches the reader: what could be the start of a marker is held back until it is
clear. A call that cannot be read becomes a `MalformedCall`, never text and never nothing.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from punie.models.mlx.chat.blocks import BlockEnd, BlockReader
from punie.models.mlx.chat.calls import Block, Call, Fault, ToolSchemas
from punie.models.mlx.chat.markup import FUNCTION, MARK, Markers, is_mark
from punie.models.mlx.chat.partial_call import PartialCall, begin_call
from punie.models.mlx.chat.vocabulary import Piece

CallSyntax = Literal["xml", "json"]

_BARE_HEAD = re.compile(r"<function=([^<>\n]*)[>\n]\s*(?=<parameter=|</function>)")
_BARE_BEGUN = re.compile(r"<function=[^<>\n]*(?:[>\n]\s*(?:<[a-z/=]*)?)?\Z")
_LONGEST_HEAD = 300
"""Characters; a bare `<function=` behind which no call has begun by then is prose."""
_NAME = re.compile(r'<function=\s*([\w.:-]+)|"name"\s*:\s*"([^"\\]*)"')


@dataclass(frozen=True)
class AnswerText:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class ThoughtText:
    """A piece of the model's thinking."""

    text: str


@dataclass(frozen=True)
class CallStarted:
    """The model has begun to write a call of this tool; a `ToolCall` or `MalformedCall` follows."""

    name: str


@dataclass(frozen=True)
class CallArguments:
    """More of the arguments of the call that was started.

    The pieces that come before a `ToolCall` are together the JSON of its arguments.
    """

    json: str


@dataclass(frozen=True)
class ToolCall:
    """A whole tool call, started before, with its arguments as the tool's schema types them."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class MalformedCall:
    """A call that was cut off or broken; `name` is the tool it seems to mean."""

    name: str | None
    reason: str
    raw: str


ParserEvent = AnswerText | ThoughtText | CallStarted | CallArguments | ToolCall | MalformedCall


class ResponseParser:
    """Parses one response.

    `in_thought` tells that the prompt ended inside an open `<think>`. `control` names the markers
    that arrive as `ControlToken`: the same letters in text are content then. Other markers are
    looked for in the text.
    """

    def __init__(
        self,
        tools: ToolSchemas,
        syntax: CallSyntax,
        *,
        in_thought: bool = False,
        control: Collection[str] = (),
    ) -> None:
        self._tools = tools
        self._syntax = syntax
        self._markers = markers = Markers(control)
        self._state: Literal["text", "thought", "call"] = "thought" if in_thought else "text"
        words = (markers.open_call, markers.close_call, markers.open_thought, markers.close_thought)
        self._words = tuple(word for word in (*words, FUNCTION) if not is_mark(word))
        self._marker = re.compile("|".join(map(re.escape, (*words, FUNCTION))))
        ends = [markers.close_thought, *filter(is_mark, [markers.open_call])]
        self._thought_end = re.compile("|".join(map(re.escape, ends)))
        self._buffer = ""
        self._spaces = ""  # whitespace held back: dropped unless more of the same kind follows
        self._begun = False  # whether the current stretch of text or thought shows anything yet
        self._line_blank = True
        self._after_call = False
        self._reader = BlockReader(tools, markers)
        self._partial: PartialCall | None = None
        self._announced = False  # whether the call was told of
        self._told = 0  # characters of its arguments

    def feed(self, pieces: Sequence[Piece]) -> list[ParserEvent]:
        """Return what these pieces of output make clear; a string is one piece."""
        events: list[ParserEvent] = []
        for piece in (pieces,) if isinstance(pieces, str) else pieces:
            self._buffer += self._markers.write(piece)
            events += self._parse(final=False)
        return events

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
                case "call":
                    yield from self._parse_call(final=final)
            progress = (self._state, len(self._buffer)) != before
        if final and self._state == "call":
            # The response ended right behind the marker.
            yield from self._parse_call(final=True)

    def _parse_text(self, *, final: bool) -> Iterator[ParserEvent]:
        markers = self._markers
        position = 0
        while marker := self._marker.search(self._buffer, position):
            before = self._buffer[: marker.start()]
            blank = not self._begun and not before.strip()
            word = marker.group()
            if word == markers.open_call:
                yield from self._visible(before)
                self._enter("call", marker.end())
                return
            if word == FUNCTION and self._syntax == "xml" and self._starts_line(before):
                begun = self._bare_call(marker.start(), final=final)
                if begun is not False:
                    yield from self._visible(before)
                    self._buffer = self._buffer[marker.start() :]
                    if begun:
                        self._enter("call", 0)
                    return
            if word == markers.open_thought and (blank or is_mark(word)):
                yield from self._visible(before)
                self._enter("thought", marker.end())
                return
            if (word == markers.close_thought and (blank or is_mark(word))) or (
                word == markers.close_call and (is_mark(word) or (blank and self._after_call))
            ):
                yield from self._visible(before)
                self._buffer = self._buffer[marker.end() :]
                position = 0
                continue
            position = marker.end()
        keep = 0 if final else _held_back(self._buffer, self._words, position)
        cut = len(self._buffer) - keep
        yield from self._visible(self._buffer[:cut])
        self._buffer = self._buffer[cut:]

    def _bare_call(self, start: int, *, final: bool) -> bool | None:
        """Tell whether a call without its opening marker begins; None while that is not clear."""
        if head := _BARE_HEAD.match(self._buffer, start):
            return head.group(1).strip() in self._tools
        if final or len(self._buffer) - start > _LONGEST_HEAD:
            return False
        return None if _BARE_BEGUN.match(self._buffer, start) else False

    def _starts_line(self, before: str) -> bool:
        line = before.rpartition("\n")
        return not line[2].strip() and (bool(line[1]) or self._line_blank)

    def _parse_thought(self, *, final: bool) -> Iterator[ParserEvent]:
        if end := self._thought_end.search(self._buffer):
            yield from self._visible(self._buffer[: end.start()])
            called = end.group() == self._markers.open_call
            self._enter("call" if called else "text", end.end())
            return
        keep = 0 if final else _held_back(self._buffer, self._words, 0)
        cut = len(self._buffer) - keep
        yield from self._visible(self._buffer[:cut])
        self._buffer = self._buffer[cut:]

    def _parse_call(self, *, final: bool) -> Iterator[ParserEvent]:
        yield from self._follow_call()
        block = self._reader.advance(self._buffer, final=final)
        if block is None:
            return
        yield from self._block(block)
        self._enter("text", block.end)
        if isinstance(block.found, Block):
            yield from self._visible(block.found.rest)
        self._after_call = True

    def _follow_call(self) -> Iterator[ParserEvent]:
        if self._partial is None:
            self._partial = begin_call(self._buffer, self._tools, self._markers)
        if self._partial is None:
            return
        more = self._partial.advance(self._buffer)
        if self._partial.name and not self._announced:
            self._announced = True
            yield CallStarted(self._partial.name)
        if more:
            self._told += len(more)
            yield CallArguments(more)

    def _block(self, block: BlockEnd) -> Iterator[ParserEvent]:
        if isinstance(block.found, Fault):
            raw = self._markers.read(self._buffer[: block.end])
            announced = self._partial.name if self._partial and self._announced else None
            yield MalformedCall(announced or likely_name(raw), block.found.reason, raw.strip())
            return
        for call in block.found.calls:
            yield from self._call(call)

    def _call(self, call: Call) -> Iterator[ParserEvent]:
        if not self._announced:
            yield CallStarted(call.name)
        whole = json.dumps(call.arguments, ensure_ascii=False)
        if rest := whole[self._told :]:
            yield CallArguments(rest)
        yield ToolCall(call.name, call.arguments)
        self._announced, self._told = False, 0

    def _enter(self, state: Literal["text", "thought", "call"], position: int) -> None:
        self._state = state
        self._buffer = self._buffer[position:]
        self._spaces = ""
        self._begun = False
        self._line_blank = True
        self._after_call = False
        if state == "call":
            self._reader = BlockReader(self._tools, self._markers)
            self._partial, self._announced, self._told = None, False, 0

    def _visible(self, text: str) -> Iterator[ParserEvent]:
        """Yield text without control tokens and the whitespace around the whole stretch."""
        if not text.isascii():
            text = MARK.sub("", text)
        if not text:
            return
        _, newline, tail = text.rpartition("\n")
        self._line_blank = not tail.strip() and (bool(newline) or self._line_blank)
        text = self._spaces + text
        if not self._begun:
            text = text.lstrip()
        shown = text.rstrip()
        self._spaces = text[len(shown) :]
        if shown:
            self._begun = True
            yield ThoughtText(shown) if self._state == "thought" else AnswerText(shown)


def likely_name(raw: str) -> str | None:
    """Return the tool that a broken call seems to mean."""
    match = _NAME.search(raw)
    return (match.group(1) or match.group(2)) if match else None


def _held_back(text: str, markers: tuple[str, ...], start: int) -> int:
    """Return how many last characters of `text` could be the beginning of a marker."""
    position = text.rfind("<", start)
    if position < 0:
        return 0
    tail = text[position:]
    return len(tail) if any(marker.startswith(tail) for marker in markers) else 0
