"""Fits a turn's next request into the model's window, and tells the person when it gets full."""

from punie.agent.budget import Budget
from punie.agent.compaction import plan_compaction
from punie.agent.events import Compacted, Notice, UsageChanged
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
