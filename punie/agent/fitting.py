"""Fits a turn's next request into the model's window, and tells the person when it gets full."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic_ai.messages import ModelMessage

from punie.agent.budget import CHARS_PER_TOKEN, Budget
from punie.agent.compaction import Compaction, plan_compaction, plan_on_demand
from punie.agent.events import Compacted, Notice, TurnEvent, UsageChanged
from punie.agent.history import HistoryBuilder
from punie.agent.journal import Journal
from punie.agent.summary import Summariser
from punie.tools.wording import count

_NEARLY_FULL = 0.8
_WARNING = (
    "The conversation fills {used:,} of the {room:,} tokens that the model can read. When they are "
    "full, older tool results and turns are left out; `/compact` does that now, and a new session "
    "starts empty."
)
_SUMMING_UP = "Making room: the model sums up the oldest {}."


async def make_room(journal: Journal, budget: Budget, summariser: Summariser) -> None:
    """Leave the oldest out of the context if the next request would not fit the window."""
    history = journal.history
    messages = history.messages()
    fill = await budget.overfull(messages, history.prompt)
    if fill is None:
        return
    plan = plan_compaction(messages, history.prompt, fill)
    if plan is None:
        return
    summary = ""
    if plan.summed_up:
        if summariser.makes_summaries:
            text = _SUMMING_UP.format(count(plan.turns, "turn"))
            await journal.emit(Notice(severity="info", text=text))
        summary = await summariser.stand_in(messages, plan.summed_up)
    await journal.emit(
        Compacted(dropped=plan.dropped, cleared=plan.cleared, cut=plan.cut, summary=summary)
    )


SumUp = Callable[[list[ModelMessage], int], Awaitable[str]]
"""Returns what is to stand in place of the first so many of these messages."""


@dataclass(frozen=True)
class OnDemand:
    """A compaction that the person wants, worked out and not done; its `events` do it.

    `before` and `after` are tokens in the context of `window`, about; without a `window` they are
    not known.
    """

    plan: Compaction
    summary: str
    before: int
    after: int
    window: int

    @property
    def events(self) -> tuple[TurnEvent, ...]:
        """What the session is to be told."""
        plan = self.plan
        compacted = Compacted(dropped=plan.dropped, cleared=plan.cleared, summary=self.summary)
        if not self.window:
            return (compacted,)
        return compacted, UsageChanged(context_tokens=self.after, context_size=self.window)


async def compact_on_demand(
    history: HistoryBuilder, sum_up: SumUp, *, all_turns: bool = False
) -> OnDemand | None:
    """Work out what the person wants left out of the context; None if there is nothing.

    With `all_turns` all turns but the latest go. Turns that go are summed up.
    """
    plan = plan_on_demand(history, all_turns=all_turns)
    if plan is None:
        return None
    summary = await sum_up(history.messages(), plan.summed_up) if plan.summed_up else ""
    usage = history.usage or UsageChanged(context_tokens=0, context_size=0)
    after = plan.after + len(summary) // CHARS_PER_TOKEN
    return OnDemand(plan, summary, usage.context_tokens, after, usage.context_size)


def fullness_warning(history: HistoryBuilder, now: UsageChanged, room: int | None) -> Notice | None:
    """Return a warning if the context gets nearly full with this usage, and was not before."""
    if room is None:
        return None
    edge = room * _NEARLY_FULL
    before = 0 if history.usage is None else history.usage.context_tokens
    if not before < edge <= now.context_tokens:
        return None
    text = _WARNING.format(used=min(now.context_tokens, room), room=room)
    return Notice(severity="warning", text=text)
