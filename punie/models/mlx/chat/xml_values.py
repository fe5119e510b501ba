"""Finding the end of one `<parameter=name>` value, which nothing in the format escapes."""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from punie.models.mlx.chat.calls import CUT_OFF, NOT_CLOSED, SEVERAL, RefusedError
from punie.models.mlx.chat.markup import Markers

HEAD = re.compile(r"\s*<function=([^<>\n]*)[>\n]")
PARAMETER = re.compile(r"\s*<parameter=([^<>\n]*)[>\n]")
CLOSE_FUNCTION = re.compile(r"\s*</function>")
CLOSE_PARAMETER = "</parameter>"
TAG = re.compile(r"<(/?)(function|parameter)(?:=([^<>\n]*)[>\n]|>)")
BLANK = re.compile(r"\s*\Z")

_LINE_START = re.compile(r"(?:\A|\n)[ \t]*\Z")
_CLOSE_AT_END = re.compile(r"</function>\s*\Z")


@dataclass(frozen=True)
class ValueEnd:
    """Where a value ends and where the call goes on; `loose` if its closer is missing."""

    end: int
    after: int
    loose: bool = False


@dataclass(frozen=True)
class Place:
    """What is known where a value begins.

    `known` are the tool's arguments, none if the tool does not say; `given` are those of the call
    so far, this value's own included; `tools` are names of functions. `closed` tells that the
    closing marker of the block follows the text, `split` that the opening of an argument ends the
    value before it.
    """

    text: str
    start: int
    known: AbstractSet[str]
    given: AbstractSet[str]
    tools: AbstractSet[str]
    markers: Markers
    closed: bool
    split: bool

    def is_new(self, name: str) -> bool:
        """Tell whether an argument of this name may follow."""
        name = self.name(name)
        return name not in self.given and (not self.known or name in self.known)

    def name(self, written: str) -> str:
        """Return a name as it was meant."""
        return self.markers.read(written).strip()


class TextValue:
    """Finds the end of a value that is any text; `doubtful` if an opening in it may end it too."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._opened = 0  # what the value has opened itself and not closed
        self._functions = 0  # how much of that are functions
        self._closers = 0
        self._first_end: ValueEnd | None = None
        self.doubtful = False

    def find(self) -> ValueEnd:
        """Return the end; raise `RefusedError` if there is none, or more than one."""
        for tag in TAG.finditer(self._place.text, self._place.start):
            closing, kind, name = tag.groups()
            if not closing and name is None:
                continue
            if not closing:
                end = self._at_opening(tag, name, is_function=kind == "function")
            elif kind == "parameter":
                end = self._at_closer(tag)
            else:
                self._functions = max(0, self._functions - 1)
                self._opened = max(0, self._opened - 1)
                end = None
            if end is not None:
                return end
        return self._without_closer()

    def _at_opening(self, tag: re.Match[str], name: str, *, is_function: bool) -> ValueEnd | None:
        place = self._place
        if not is_function and not self._functions and place.is_new(name):
            line = place.text[max(place.start, tag.start() - 200) : tag.start()]
            if _LINE_START.search(line):
                if place.split:
                    return ValueEnd(tag.start(), tag.start(), loose=True)
                self.doubtful = True
        if tag.group().endswith(">"):
            self._opened += 1
            self._functions += is_function
        return None

    def _at_closer(self, tag: re.Match[str]) -> ValueEnd | None:
        here = ValueEnd(tag.start(), tag.end())
        follows = self._follows(tag.end())
        if follows == "end" and (self._place.closed or not self._opened):
            return here
        if isinstance(follows, _Next):
            self._check_next(follows.name)
        if self._opened:
            self._opened -= 1
            return None
        if isinstance(follows, _Next):
            return here
        if follows == "several":
            raise RefusedError(SEVERAL)
        if follows == "nothing" and self._place.closed:
            return ValueEnd(tag.start(), tag.end(), loose=True)
        self._closers += 1
        if follows == "text":
            self._first_end = ValueEnd(tag.start(), tag.end(), loose=True)
        return None

    def _check_next(self, name: str) -> None:
        """Refuse a closed value before `<parameter=name>` if it is not clear that it ends there."""
        place = self._place
        new = place.is_new(name)
        if new and self._opened:
            raise RefusedError(
                f"It is not clear whether <parameter={name}> is an argument or part of the value "
                "before it; repeat the call with the arguments in another order."
            )
        if new or self._opened:
            return
        if place.name(name) in place.given:
            raise RefusedError(f"The argument {name!r} is given twice; give it once.")
        raise RefusedError(
            f"There is no argument {name!r}; the arguments are {', '.join(sorted(place.known))}."
        )

    def _follows(self, position: int) -> "_Next | _Follows":
        """Tell what comes behind a closed value."""
        text = self._place.text
        if parameter := PARAMETER.match(text, position):
            return _Next(parameter.group(1))
        close = CLOSE_FUNCTION.match(text, position)
        if close is None:
            return "nothing" if BLANK.match(text, position) else "more"
        if BLANK.match(text, close.end()):
            return "end"
        following = HEAD.match(text, close.end())
        if following and self._place.name(following.group(1)) in self._place.tools:
            return "several"
        return "text"

    def _without_closer(self) -> ValueEnd:
        """Return the end of a value whose closer is missing, if there is only one it can be."""
        if self._first_end is not None and self._closers == 1:
            return self._first_end  # The function is closed, with some words behind it.
        place = self._place
        if not self._closers and (close := _CLOSE_AT_END.search(place.text, place.start)):
            return ValueEnd(close.start(), close.start(), loose=True)
        raise RefusedError(NOT_CLOSED if place.closed else CUT_OFF, unfinished=True)


_Follows = Literal["end", "nothing", "several", "text", "more"]
"""`</function>` and the end of the text; the end; another function; `</function>` and words; or
something that is no markup."""


@dataclass(frozen=True)
class _Next:
    """Another parameter opens."""

    name: str
