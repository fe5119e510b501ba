"""Notices a model that goes in circles, tells it so, and ends the turn when that does not help.

A circle is the same call with the same result, or the same two or three calls in turn, over and
over. The model first reads a reminder below the result, then a firmer one, then the turn ends. What
repeats for a reason is no circle: an edit makes all calls before it count anew, other results make
other calls, and a plan that changes is progress.
"""

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from punie.tools.base import Effect

REPEATS = 3
"""So often a call or a round of calls is made before the model is told."""
WAITING_REPEATS = 12
"""The same for rounds in which something is waited for that may say nothing for long."""

_LONGEST_ROUND = 3
_WAITING = frozenset({"command_output"})
_SLEEP = re.compile(r"\bsleep\s+\d")
_PLAN = "update_plan"

# What differs each time although nothing has changed: measured durations, times of day, addresses.
# Whole seconds are often a counter, which is progress.
_VOLATILE = re.compile(
    r"\b\d+\.\d+\s*(?:s|sec|seconds?|min|minutes?)\b"
    r"|\b\d+(?:\.\d+)?\s*(?:ms|us|µs|ns)\b"
    r"|\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?"
    r"|\b0x[0-9a-fA-F]{6,}\b"
)

_REMINDER = (
    "\n(reminder: {} with the same result and will have it again; "
    "use what you know, try another way, or answer)"
)
_WARNING = (
    "\n(warning: {} with the same result. Once more ends the turn: do something else, or say now "
    "what you found and what is missing)"
)
_ENDING = "Stopped, because the model made the same {} {} times, with the same result."
_FEW_LEFT = "\n(only {} more responses are possible in this turn; finish and answer)"
_LAST = "\n(the next response is the last of this turn; answer now, without a call)"


@dataclass(frozen=True)
class MadeCall:
    """A call that was made: its arguments as JSON has them, and what came of it."""

    tool: str
    arguments: Mapping[str, Any]
    effect: Effect
    result: str
    failed: bool = False

    @property
    def edits(self) -> bool:
        """Whether it changed files."""
        return self.effect == "edit" and not self.failed


@dataclass(frozen=True)
class _Round:
    """What repeats: the tools in turn, how often by now, and whether a round has just ended."""

    tools: tuple[str, ...]
    times: int
    whole: bool
    limit: int


@dataclass
class _Track:
    """Calls in a row, of which it is only known whether they are alike; `told` counts warnings."""

    last: deque[tuple[str, str, bool]] = field(default_factory=lambda: deque(maxlen=_LONGEST_ROUND))
    alike: dict[int, int] = field(default_factory=dict)
    told: int = 0

    def add(self, digest: str, tool: str, *, waits: bool) -> _Round | None:
        """Take the next call; return the shortest round that repeats with it."""
        for size in range(1, _LONGEST_ROUND + 1):
            same = len(self.last) >= size and self.last[-size][0] == digest
            self.alike[size] = self.alike.get(size, 0) + 1 if same else 0
        self.last.append((digest, tool, waits))
        for size, alike in self.alike.items():
            times = 1 + alike // size
            round_ = [*self.last][-size:]
            limit = WAITING_REPEATS if any(waits for _, _, waits in round_) else REPEATS
            if times >= limit:
                tools = tuple(tool for _, tool, _ in round_)
                return _Round(tools, times, alike % size == 0, limit)
        self.told = 0
        return None


class LoopGuard:
    """Follows the calls of one turn. `ending` says why the turn is to end, once it is."""

    def __init__(self) -> None:
        self.ending: str | None = None
        # Edits by themselves, for they let the others count anew.
        self._edits = _Track()
        self._others = _Track()
        self._edited = 0
        self._plan: str | None = None
        self._silent = False

    def begin_response(self) -> None:
        """Let the model be told again: of what it did in one response, it is told once."""
        self._silent = False

    def remark(self, call: MadeCall) -> str:
        """Take the call, and return what the model is to read below its result."""
        if call.tool == _PLAN and not call.failed:
            plan = json.dumps(call.arguments, sort_keys=True, default=str)
            self._plan, before = plan, self._plan
            if plan != before:
                return ""
        if call.edits:
            self._edited += 1
        track = self._edits if call.edits else self._others
        found = track.add(_digest(call, self._edited), call.tool, waits=_waits(call))
        if found is None or not found.whole or self._silent:
            return ""
        self._silent = True
        track.told += 1
        match track.told:
            case 1:
                return _REMINDER.format(_said(found))
            case 2:
                return _WARNING.format(_said(found))
            case _:
                self.ending = _ENDING.format(_named(found.tools), found.times)
                return ""


def limit_remark(left: int, limit: int) -> str:
    """Return what the model reads when only `left` of the `limit` responses of a turn are left."""
    if left == 1:
        return _LAST
    return _FEW_LEFT.format(left) if limit > 4 and left == max(2, limit // 10) else ""


def _waits(call: MadeCall) -> bool:
    """Tell whether the call looks at a background command, or is one that waits."""
    if call.failed:
        return False
    return call.tool in _WAITING or bool(_SLEEP.search(str(call.arguments.get("command", ""))))


def _digest(call: MadeCall, edited: int) -> str:
    """Return the same for calls that are alike."""
    arguments: Any = call.arguments
    result = call.result
    if not call.edits:
        arguments = _plain(arguments)
        result = " ".join(result.split())
        if call.tool not in _WAITING:
            result = _VOLATILE.sub("~", result)
    what = [call.tool, arguments, result, None if call.edits else edited]
    text = json.dumps(what, sort_keys=True, default=str)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    """Return the value without what does not matter in white space."""
    match value:
        case str():
            return " ".join(value.split())
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value


def _said(found: _Round) -> str:
    if len(found.tools) == 1:
        return f"this call was made {found.times} times"
    return f"these calls, {', '.join(found.tools)}, were made {found.times} times in turn"


def _named(tools: tuple[str, ...]) -> str:
    if len(tools) == 1:
        return f"{tools[0]} call"
    return f"{len(tools)} calls ({', '.join(tools)})"
