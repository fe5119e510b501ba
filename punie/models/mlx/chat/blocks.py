"""Finds where a block of calls ends in a text that still grows, and reads it once it has.

A block ends at the first closing marker before which it reads as whole calls. Where the markers
are control tokens that is nearly always the first one; but a model may write the marker inside a
value too, as a document about tool calls has it.
"""

import re
from dataclasses import dataclass, replace

from punie.models.mlx.chat.calls import (
    CUT_OFF,
    NESTED,
    NO_FUNCTION,
    NOT_CLOSED,
    Block,
    Fault,
    ToolSchemas,
)
from punie.models.mlx.chat.json_calls import read_json_calls
from punie.models.mlx.chat.markup import FUNCTION, MARK, Markers, is_mark
from punie.models.mlx.chat.xml_calls import read_xml

_BEGINS_CALL = re.compile(r"\s*(?:<function=|[{\[])")
_MARKUP = re.compile(r"</?(?:function|parameter)\b")
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class BlockEnd:
    """What a block was and where in the text it ended."""

    found: Block | Fault
    end: int


def read_block(body: str, tools: ToolSchemas, markers: Markers, *, closed: bool) -> Block | Fault:
    """Read what stands between the markers, in either form; `closed` tells that it is all."""
    start = body.lstrip()
    if start.startswith(FUNCTION):
        return read_xml(body, tools, markers, closed=closed)
    if start.startswith(("{", "[")):
        return read_json_calls(body, tools, markers, closed=closed)
    cut = not closed and FUNCTION.startswith(start)
    return Fault(CUT_OFF if cut else NO_FUNCTION, unfinished=not closed)


class BlockReader:
    """Reads one block; its text begins behind the opening marker, or with a bare `<function=`."""

    def __init__(self, tools: ToolSchemas, markers: Markers) -> None:
        self._tools = tools
        self._markers = markers
        self._ends = re.compile(f"{re.escape(markers.open_call)}|{re.escape(markers.close_call)}")
        self._longest = max(len(markers.open_call), len(markers.close_call))
        self._from = 0
        self._depth = 0  # blocks that opened inside this one
        self._nested = False
        self._loose: BlockEnd | None = None
        self._broken: BlockEnd | None = None
        self._closed_at = -1  # the end of the last closing marker that closed nothing within

    def advance(self, text: str, *, final: bool) -> BlockEnd | None:
        """Return the end of the block if `text`, all of it so far, makes it clear."""
        while marker := self._ends.search(text, self._from):
            if marker.group() == self._markers.close_call:
                self._from = marker.end()
                if end := self._at_close(text, marker.start(), marker.end()):
                    return end
                continue
            following = text[marker.end() : marker.end() + 200].lstrip()
            if not final and (not following or FUNCTION.startswith(following)):
                return None  # Not yet clear whether a call begins here.
            self._from = marker.end()
            if _BEGINS_CALL.match(text, marker.end()) and (
                end := self._at_open(text, marker.start())
            ):
                return end
        self._from = max(self._from, len(text) - self._longest + 1)
        return self._at_end(text) if final else None

    def _read(self, text: str, *, closed: bool) -> Block | Fault:
        return read_block(text, self._tools, self._markers, closed=closed)

    def _at_close(self, text: str, start: int, end: int) -> BlockEnd | None:
        if self._depth:
            # An example inside a value is over.
            self._depth -= 1
            return None
        found = self._read(text[:start], closed=True)
        outcome = BlockEnd(found, end)
        if isinstance(found, Block):
            if not found.loose:
                return outcome
            self._loose = self._loose or outcome
        elif not found.unfinished:
            return outcome
        else:
            self._broken = self._broken or outcome
        self._closed_at = end
        return None

    def _at_open(self, text: str, start: int) -> BlockEnd | None:
        if not self._depth and is_mark(self._markers.open_call):
            if self._closed_at >= 0 and not text[self._closed_at : start].strip():
                return self._loose or self._broken  # Another block follows right behind.
            found = self._read(text[:start], closed=True)
            if isinstance(found, Block) and not found.loose:
                return BlockEnd(found, start)  # Only the closing marker is missing.
        self._depth += 1
        self._nested = True
        return None

    def _at_end(self, text: str) -> BlockEnd:
        for outcome in (self._loose, self._broken):
            # More markup behind a marker means that the marker was part of a value.
            if outcome is not None and not self._depth and not _has_markup(text[outcome.end :]):
                return outcome
        if self._nested:
            return BlockEnd(Fault(NESTED), len(text))
        found = self._read(text, closed=False)
        if isinstance(found, Block) and not found.loose:
            return BlockEnd(found, len(text))
        if self._broken is not None or self._loose is not None:
            earlier = self._broken.found if self._broken is not None else Fault(NOT_CLOSED)
            return BlockEnd(earlier, len(text))
        if isinstance(found, Block):
            return BlockEnd(replace(found, rest=""), len(text) - len(found.rest))
        return BlockEnd(found, len(text))


def _has_markup(text: str) -> bool:
    return bool(_MARKUP.search(text) or MARK.search(text))
