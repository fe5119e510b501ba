"""Notices, while a response streams, that the model repeats the same text over and over.

Two things are looked for in each part of a response, in linear time and with a few thousand
characters of memory: a tail that is one piece of text again and again, and lines of which none is
new. Texts repeat themselves for good reasons too (rulers, tables, matrices, drawings), so it takes
thousands of characters, and fewer only where what repeats is made of words.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass, field

from pydantic_ai.messages import (
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)

LONGEST_PIECE = 1_600
"""Characters; what repeats in longer pieces is not noticed."""
MOST_OF_WORDS = 2_400
MOST_OF_SIGNS = 6_000
"""Characters that may repeat, where it is words that do, and where it is signs, digits or one word.
"""
LEAST_TIMES = 5
LEAST_LINES = 24
MOST_KNOWN_LINES = 8
"""Lines that take turns, in whatever order, are noticed if there are no more than these."""

BLOCK = 400
"""It is looked every so many characters, wherever the model's pieces end."""

_WINDOW = LEAST_TIMES * LONGEST_PIECE
_PROBE = 24
_LONGEST_LINE = 2_000
_SHORTEST_LINE = 16
_SAMPLE = 60
_WORD = re.compile(r"[^\W\d_]{2,}")
# In the arguments of calls a line ends as JSON writes it.
_LINE_END = re.compile(r"\n|\\n")


@dataclass(frozen=True)
class Repetition:
    """What repeats, on one line, and how many characters at the end of the part are only that."""

    sample: str
    length: int


class RepetitionWatch:
    """Watches one part of a response."""

    def __init__(self) -> None:
        self._waiting = ""
        self._tail = ""
        self._lines = _Lines()

    def feed(self, text: str) -> Repetition | None:
        """Take the next piece; return what repeats by now. Feed nothing more after that.

        Of a piece that is longer than what is remembered only the end counts.
        """
        if len(text) > _WINDOW + BLOCK:
            self._lines, self._tail, self._waiting = _Lines(), "", ""
            text = text[-_WINDOW:]
        self._waiting += text
        done = 0
        found = None
        while found is None and len(self._waiting) - done >= BLOCK:
            block = self._waiting[done : done + BLOCK]
            done += BLOCK
            self._tail = (self._tail + block)[-_WINDOW:]
            found = _repeated_piece(self._tail) or self._lines.feed(block)
        self._waiting = self._waiting[done:]
        if found is None:
            return None
        return Repetition(found.sample, found.length + len(self._waiting))


def _repeated_piece(tail: str) -> Repetition | None:
    """Return what the text ends with, again and again, but for its first time."""
    probe = tail[-_PROBE:]
    # Whatever repeats, its end was there before; most texts are done with here.
    if len(tail) < MOST_OF_WORDS or tail.rfind(probe, -LONGEST_PIECE - _PROBE, -1) < 0:
        return None
    for length, period in _periods(tail[::-1]):
        piece = tail[-period:]
        if length >= max(_most(piece), LEAST_TIMES * period):
            return Repetition(_sample(piece), length - period)
    return None


def _periods(text: str) -> list[tuple[int, int]]:
    """Return the beginnings of the text that repeat a piece: their length and the piece's.

    For each piece the longest beginning only. This is the prefix function of Knuth, Morris and
    Pratt.
    """
    border = [0] * len(text)
    known = 0
    longest: dict[int, int] = {}
    for i in range(1, len(text)):
        while known and text[i] != text[known]:
            known = border[known - 1]
        if text[i] == text[known]:
            known += 1
        border[i] = known
        period = i + 1 - known
        if period <= LONGEST_PIECE and i + 1 >= LEAST_TIMES * period:
            longest[period] = i + 1
    return [(length, period) for period, length in longest.items()]


@dataclass
class _Lines:
    """The lines of a text: which came lately, and how much came since the last new one."""

    _rest: str = ""
    _known: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _stale: int = 0
    _count: int = 0

    def feed(self, text: str) -> Repetition | None:
        """Take the next piece; return what repeats by now."""
        *lines, rest = _LINE_END.split(self._rest + text)
        for line in lines:
            self._take(line.strip(), len(line) + 1)
        self._rest = rest
        if len(rest) > _LONGEST_LINE:
            self._forget()
            self._rest = rest[-_LONGEST_LINE:]
        if self._count < LEAST_LINES or self._stale < _most(" ".join(self._known)):
            return None
        return Repetition(_sample(next(reversed(self._known))), self._stale + len(rest))

    def _take(self, line: str, length: int) -> None:
        if line and line not in self._known:
            self._forget()
            self._known[line] = None
            if len(self._known) > MOST_KNOWN_LINES:
                self._known.popitem(last=False)
            return
        if line:
            self._known.move_to_end(line)
        self._stale += length
        self._count += len(line) >= _SHORTEST_LINE

    def _forget(self) -> None:
        self._stale = self._count = 0


def _most(piece: str) -> int:
    """Return how many characters may be nothing but this."""
    return MOST_OF_WORDS if len(set(_WORD.findall(piece))) >= 3 else MOST_OF_SIGNS


def _sample(piece: str) -> str:
    words = " ".join(piece.split())
    return words if len(words) <= _SAMPLE else f"{words[: _SAMPLE - 1]}…"


@dataclass(frozen=True)
class Runaway:
    """A response that is to be ended; without a `tool` the last part of its text is nothing but
    the sample for `dropped` characters, else the arguments of a call are.
    """

    sample: str
    dropped: int = 0
    tool: str | None = None


class ResponseWatch:
    """Watches the parts of one response while it streams."""

    def __init__(self) -> None:
        self._parts: dict[int, RepetitionWatch] = {}
        self._tools: dict[int, str] = {}

    def feed(self, event: ModelResponseStreamEvent) -> Runaway | None:
        """Take the next event; return whether the model runs away by now."""
        match event:
            case PartStartEvent(index=index, part=TextPart() | ThinkingPart() as part):
                self._parts[index] = RepetitionWatch()
                return self._more(index, part.content)
            case PartStartEvent(index=index, part=ToolCallPart() as part):
                self._parts[index] = RepetitionWatch()
                self._tools[index] = part.tool_name
                return self._more(index, part.args if isinstance(part.args, str) else "")
            case PartDeltaEvent(index=index, delta=TextPartDelta(content_delta=text)):
                return self._more(index, text)
            case PartDeltaEvent(
                index=index,
                delta=(
                    ThinkingPartDelta(content_delta=str() as text)
                    | ToolCallPartDelta(args_delta=str() as text)
                ),
            ):
                return self._more(index, text)
            case _:
                return None

    def _more(self, index: int, text: str) -> Runaway | None:
        found = self._parts.setdefault(index, RepetitionWatch()).feed(text)
        if found is None:
            return None
        tool = self._tools.get(index)
        return Runaway(found.sample, 0 if tool else found.length, tool)


_REMINDER = (
    'Your answer was cut, because it repeated "{}" over and over. Go on without repeating it; if '
    "you cannot, say in one sentence what is missing."
)
_CALL_REMINDER = (
    'Your {} call was cut, because its arguments repeated "{}" over and over. Write it without '
    "that, shorter or in several calls."
)


def reminder(runaway: Runaway) -> str:
    """Return what the model reads before it tries once more."""
    if runaway.tool is None:
        return _REMINDER.format(runaway.sample)
    return _CALL_REMINDER.format(runaway.tool, runaway.sample)
