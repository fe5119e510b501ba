"""Making room: what can leave the model's context with the least loss.

It goes in tiers. First results that were read again later, then the results of older turns; what
was said stays. Only when that is not enough do whole turns go, the oldest first, and a summary
comes in their place. The latest turn stays as it is, unless it alone is too large: then its own
older results go, after them its oldest exchanges, and at last its newest results are cut.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from punie.agent.budget import CHARS_PER_TOKEN, Fill, message_chars
from punie.agent.events import UsageChanged
from punie.agent.history import CLEARED, SUMMARY_HEAD, HistoryBuilder, clear_results
from punie.tools.catalog import READING_TOOLS

KEPT_TURNS = 2
"""When there is nothing left to clear, this many of the latest turns stay."""

_LOOKS = frozenset(tool.name for tool in READING_TOOLS)
_WORTH_CLEARING = 200
# After compacting on demand, the context fills about this share of the window if that can be had.
_TARGET = 0.5
_LEAST_CUT = 200
_CUT_REMARK = 100


@dataclass(frozen=True)
class Compaction:
    """What is to go: parts of the `cut` results, all of the `cleared`, then the oldest messages.

    `dropped` counts these; the first `summed_up` of them are the `turns` that a summary may stand
    for. `repeated` and `old` count the cleared results by why they went. `after` is tokens in the
    context, about; 0 where nothing is known of them.
    """

    cleared: tuple[str, ...] = ()
    cut: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    summed_up: int = 0
    repeated: int = 0
    old: int = 0
    turns: int = 0
    after: int = 0


def plan_compaction(
    messages: list[ModelMessage], prompt: ModelMessage | None, fill: Fill
) -> Compaction | None:
    """Work out what has to go for the next request to fit; None if nothing can.

    `prompt` begins the latest turn. It stays, and so do the calls that were made last.
    """
    plan = _Plan(messages, prompt, fill)
    plan.clear_repeated(plan.older, plan.closed)
    plan.clear_old(plan.older)
    plan.drop_turns()
    plan.clear_old(plan.closed)
    plan.drop_exchanges()
    plan.cut_newest()
    return plan.result()


def plan_on_demand(history: HistoryBuilder, *, all_turns: bool = False) -> Compaction | None:
    """Work out what to leave out because the person wants it; None if there is nothing.

    All results of older turns go, and turns while the window is more than half full, or if there
    was no result to clear; with `all_turns` all but the latest.
    """
    usage = history.usage or UsageChanged(context_tokens=0, context_size=0)
    target = usage.context_size * _TARGET if usage.context_size else float("inf")
    fill = Fill(usage.context_tokens, 1 / CHARS_PER_TOKEN, limit=float("inf"), target=target)
    plan = _Plan(history.messages(), history.prompt, fill)
    plan.clear_repeated(plan.older)
    plan.clear_old(plan.older, everything=True)
    turns = len(_turns(plan.older))
    plan.drop_turns(least=turns if all_turns else 0)
    if not plan.cleared and not plan.turns:
        plan.drop_turns(least=max(turns + 1 - KEPT_TURNS, 0))
    return plan.result()


class _Plan:
    """A compaction in the making: `used` is what the context takes after what is decided so far."""

    def __init__(
        self, messages: list[ModelMessage], prompt: ModelMessage | None, fill: Fill
    ) -> None:
        begin = next((i for i, message in enumerate(messages) if message is prompt), None)
        if begin is None:
            begin = len(messages) - len((_turns(messages) or [[]])[-1])
        latest = messages[begin:]
        last = next(
            (i for i in range(len(latest) - 1, 0, -1) if isinstance(latest[i], ModelResponse)),
            len(latest),
        )
        self._fill = fill
        self.older = messages[:begin]
        self.closed = latest[1:last]
        self._newest = latest[last:]
        self.used = fill.used
        self.cleared: dict[str, None] = {}
        self._cut: dict[str, int] = {}
        self._repeated: set[str] = set()
        self._gone: list[ModelMessage] = []
        self._summed_up = 0
        self.turns = 0

    @property
    def _full(self) -> bool:
        return self.used > self._fill.target

    def _size(self, messages: list[ModelMessage]) -> float:
        left = clear_results(messages, frozenset(self.cleared))
        return sum(message_chars(message) for message in left) * self._fill.per_char

    def clear_repeated(self, *spans: list[ModelMessage]) -> None:
        """Clear what came again later: that loses nothing, so all of it goes at once."""
        everything = [*self.older, *self.closed, *self._newest]
        again = _repeated(everything)
        for span in spans:
            for call, chars in _results(span).items():
                if call in again:
                    self._clear(call, chars)
                    self._repeated.add(call)

    def clear_old(self, span: list[ModelMessage], *, everything: bool = False) -> None:
        """Clear results, the oldest first, until there is room, or all of them."""
        for call, chars in _results(span).items():
            if call not in self.cleared and (everything or self._full):
                self._clear(call, chars)

    def _clear(self, call: str, chars: int) -> None:
        self.cleared[call] = None
        self.used -= (chars - len(CLEARED)) * self._fill.per_char

    def drop_turns(self, least: int = 0) -> None:
        """Drop older turns, the oldest first, until there is room, but at least so many."""
        for turn in _turns(self.older)[self.turns :]:
            if not self._full and self.turns >= least:
                break
            self._drop(turn)
            self._summed_up += len(turn)
            self.turns += 1

    def drop_exchanges(self) -> None:
        """Drop the oldest exchanges of the latest turn, each a response with its results."""
        for exchange in _exchanges(self.closed):
            if not self._full:
                break
            self._drop(exchange)

    def _drop(self, messages: list[ModelMessage]) -> None:
        self.used -= self._size(messages)
        self._gone += messages

    def cut_newest(self) -> None:
        """Cut the newest results, the largest most, if the request would still not fit."""
        sizes = _results(self._newest)
        if self.used <= self._fill.limit or not sizes or self._fill.per_char <= 0:
            return
        over = (self.used - self._fill.limit) / self._fill.per_char
        room = sum(sizes.values()) - over - _CUT_REMARK * len(sizes)
        most = max(_fair_share(list(sizes.values()), room), _LEAST_CUT)
        self._cut = {call: most for call, chars in sizes.items() if chars > most + _CUT_REMARK}
        freed = sum(sizes[call] - most - _CUT_REMARK for call in self._cut)
        self.used -= freed * self._fill.per_char

    def result(self) -> Compaction | None:
        gone = set(_results(self._gone, worth=0))
        cleared = tuple(call for call in self.cleared if call not in gone)
        if not cleared and not self._gone and not self._cut:
            return None
        repeated = sum(call in self._repeated for call in cleared)
        return Compaction(
            cleared=cleared,
            cut=self._cut,
            dropped=len(self._gone),
            summed_up=self._summed_up,
            repeated=repeated,
            old=len(cleared) - repeated,
            turns=self.turns,
            after=max(round(self.used), 0),
        )


def _fair_share(sizes: list[int], room: float) -> int:
    """Return the size to which the larger ones have to be cut for all to fit into the room."""
    left = sorted(sizes)
    while left and left[0] * len(left) <= room:
        room -= left.pop(0)
    return int(room / len(left)) if left else max(sizes, default=0)


def _turns(messages: Iterable[ModelMessage]) -> list[list[ModelMessage]]:
    """Return the messages by turn; each begins with its prompt, but perhaps for the first.

    A summary of what came before is part of the turn after it.
    """
    turns: list[list[ModelMessage]] = []
    after_summary = False
    for message in messages:
        prompt = _prompt(message)
        if (prompt is not None and not after_summary) or not turns:
            turns.append([])
        turns[-1].append(message)
        after_summary = prompt is not None and prompt.startswith(SUMMARY_HEAD)
    return turns


def _prompt(message: ModelMessage) -> str | None:
    """Return what a message of the person says; None for all others."""
    if isinstance(message, ModelRequest):
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                return part.content if isinstance(part.content, str) else ""
    return None


def _exchanges(messages: Iterable[ModelMessage]) -> list[list[ModelMessage]]:
    """Return the messages of a turn by exchange, each a response and what answers it."""
    exchanges: list[list[ModelMessage]] = []
    for message in messages:
        if isinstance(message, ModelResponse) or not exchanges:
            exchanges.append([])
        exchanges[-1].append(message)
    return exchanges


def _results(messages: Iterable[ModelMessage], worth: int = _WORTH_CLEARING) -> dict[str, int]:
    """Return the sizes of the results with more than `worth` characters that were not cleared."""
    return {
        part.tool_call_id: len(part.model_response_str())
        for message in messages
        for part in message.parts
        if isinstance(part, ToolReturnPart)
        and part.content != CLEARED
        and len(part.model_response_str()) > worth
    }


def _repeated(messages: Sequence[ModelMessage]) -> set[str]:
    """Return the calls that only looked and were made again later with success, word for word.

    A part of a file counts as read again when the whole file was.
    """
    parts = [part for message in messages for part in message.parts]
    useless = {
        part.tool_call_id
        for part in parts
        if isinstance(part, ToolReturnPart)
        and (part.content == CLEARED or part.model_response_str().startswith("error:"))
    }
    seen: set[str] = set()
    found: set[str] = set()
    for part in reversed(parts):
        if not isinstance(part, ToolCallPart) or part.tool_name not in _LOOKS:
            continue
        arguments = part.args_as_dict()
        keys = [_key(part.tool_name, arguments)]
        if part.tool_name == "read_file":
            keys.append(_key(part.tool_name, {"path": arguments.get("path")}))
        if seen.intersection(keys):
            found.add(part.tool_call_id)
        if part.tool_call_id not in useless:
            seen.add(keys[0])
    return found


def _key(tool: str, arguments: dict[str, object]) -> str:
    given = {name: value for name, value in arguments.items() if value is not None}
    return json.dumps([tool, given], sort_keys=True)
