"""BFCL's questions of several turns: how they are put, and what the calls of a model are worth.

The rules are those of its own scorer (`multi_turn_checker`): the calls of the model and those that
are due are played once more, turn by turn, each on instances of their own. After every turn in
which calls are due the public state of both must be the same, and all results of the calls that are
due must be among those that the model has had by then. A turn without a call, where some are due,
is wrong, and so is all when a turn before the last one was cut off.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Check, Item, Needs, Say, Verdict
from punie.evaluation.suites.external.bfcl_conversations import Conversation
from punie.evaluation.suites.external.bfcl_functions import function_tools
from punie.evaluation.suites.external.bfcl_simulated import (
    ANSWER_SECONDS,
    Simulated,
    SimulationEndedError,
    python_for,
    start_simulation,
)
from punie.evaluation.suites.external.not_done import item_not_done
from punie.evaluation.suites.judging import both
from punie.evaluation.work import Work
from punie.tools.base import AnyTool, ToolError
from punie.training.data.example import Function

_TOKENS = 2_048
_SECONDS = 1_800.0


@dataclass(frozen=True)
class PlayedTurn:
    """How a turn came out.

    Attributes:
        due: whether calls are due.
        called: whether the model made any.
        differing: what of the state is not as it is to be.
        missing: results of calls that are due and that the model has not had by then.
        missing_in_the_end: those of them that it has not had later either.
        fault: how a call of the model ended the programs; "" if none did.
    """

    due: bool
    called: bool
    differing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    missing_in_the_end: tuple[str, ...] = ()
    fault: str = ""

    @property
    def wrong(self) -> str:
        """Why the turn does not count, as a clause; "" if it does, as all do with nothing due."""
        if self.fault:
            return self.fault.rstrip(".")
        if not self.due:
            return ""
        if not self.called:
            return "no function was called"
        if self.differing:
            return f"the state differs: {', '.join(self.differing)}"
        return f"this due result was not had: {self.missing[0]:.200}" if self.missing else ""


class Talk:
    """A question at work: puts one turn after the other and runs the calls of the model.

    The process that runs them is started by the first one and ended by `close`.
    """

    def __init__(
        self, conversation: Conversation, python: str, seconds: float = ANSWER_SECONDS
    ) -> None:
        """`seconds` is what a call may take."""
        self.conversation = conversation
        self.calls: list[list[Function]] = [[]]
        """What was called, by turn."""
        self._python = python
        self._seconds = seconds
        self._simulated: Simulated | None = None

    def said(self, turn: int) -> Say:
        """Return what is said in a turn, with the functions that are offered from then on."""
        return Say(self.conversation.prompts[turn], self._tools(turn))

    async def more(self, work: Work, root: Path) -> Say | None:
        """Go on to the next turn, unless this one was cut off."""
        turn = len(self.calls)
        if turn == len(self.conversation.prompts) or work.stop == "max_turn_requests":
            return None
        self.calls.append([])
        return self.said(turn)

    async def judge(self, work: Work, root: Path) -> Verdict:
        """Play the calls of the model and those that are due, and compare what came of them."""
        simulated = await self._start()
        try:
            turns = await played(self.conversation, self.calls, simulated)
        except SimulationEndedError as error:
            raise EvaluationError(f"The calls that are due do not run: {error}") from error
        finally:
            await simulated.aclose()
        return verdict_of(self.conversation, self.calls, turns)

    async def close(self) -> None:
        """End the process."""
        simulated, self._simulated = self._simulated, None
        if simulated is not None:
            await simulated.aclose()

    def _tools(self, turn: int) -> tuple[AnyTool, ...]:
        return function_tools(self.conversation.offered(turn), "python", self._call)

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        self.calls[-1].append(Function(name=name, arguments=dict(arguments)))
        try:
            if self._simulated is None:
                self._simulated = await self._start()
                await self._simulated.load("model", self.conversation)
            return await self._simulated.call("model", name, arguments)
        except SimulationEndedError as error:
            raise ToolError(f"no function can be called any more: {error}") from error
        except EvaluationError as error:
            raise ToolError(str(error)) from error

    async def _start(self) -> Simulated:
        return await start_simulation(self.conversation.simulation, self._python, self._seconds)


async def conversation_item(conversation: Conversation) -> Item:
    """Return a question as an item; one whose functions cannot be run says so when it is run."""
    name, kind = conversation.name, conversation.category
    try:
        talk = Talk(conversation, await python_for(conversation))
        first = talk.said(0)
    except EvaluationError as error:
        return item_not_done(name, kind, str(error))
    # An answer without calls ends a turn, so that one more may be asked for than hold calls.
    requests = conversation.simulation.steps + 1
    return Item(
        name=name,
        kind=kind,
        actions=(first,),
        prepare=_nothing,
        judge=talk.judge,
        more=talk.more,
        close=talk.close,
        tools=first.tools,
        needs=Needs(requests=requests, tokens=_TOKENS, seconds=_SECONDS),
    )


async def played(
    conversation: Conversation, calls: Sequence[Sequence[Function]], simulated: Simulated
) -> list[PlayedTurn]:
    """Play the calls that a model made in each turn beside those that are due.

    Once a call of the model has ended the process, no more is played.

    Raises:
        EvaluationError: the classes cannot be loaded.
        SimulationEndedError: calls that are due ended the process.
    """
    await simulated.load("model", conversation)
    await simulated.load("truth", conversation)
    had: list[str] = []
    wanted: list[list[str]] = []
    turns: list[PlayedTurn] = []
    for number, due in enumerate(conversation.due):
        made = calls[number] if number < len(calls) else ()
        for call in made:
            try:
                had.append(await simulated.call("model", call.name, call.arguments))
            except SimulationEndedError as error:
                turns.append(PlayedTurn(bool(due), True, fault=str(error)))
                return turns
        wanted.append([await simulated.run("truth", source) for source in due])
        differing = tuple(await simulated.differing())
        missing = _not_among(wanted[-1], had)
        turns.append(PlayedTurn(bool(due), bool(made), differing, missing))
    return [
        replace(turn, missing_in_the_end=_not_among(results, had))
        for turn, results in zip(turns, wanted, strict=True)
    ]


def _not_among(wanted: Sequence[str], had: Sequence[str]) -> tuple[str, ...]:
    return tuple((Counter(wanted) - Counter(had)).elements())


def verdict_of(
    conversation: Conversation, calls: Sequence[Sequence[Function]], turns: Sequence[PlayedTurn]
) -> Verdict:
    """Return what a conversation is worth.

    Softly, only the end counts: the state after the last turn in which calls are due, and whether
    all results that are due were had by then.
    """
    fault = any(turn.fault for turn in turns)
    due = [turn for turn in turns if turn.due]
    whole = Check.of(len(calls) == len(conversation.due))
    state = Check(
        strict=not fault and not any(turn.differing for turn in due),
        soft=not fault and not (due and due[-1].differing),
    )
    responses = Check(
        strict=not fault and not any(turn.missing for turn in due),
        soft=not fault and not any(turn.missing_in_the_end for turn in due),
    )
    called = Check.of(all(turn.called for turn in turns[: len(calls)] if turn.due))
    soft = both(state, responses, whole).soft
    strict = both(state, responses, whole, called).strict
    return Verdict(
        checks={
            "solved": Check(strict=strict, soft=soft),
            "state": state,
            "responses": responses,
            "calls": called,
            "steps": whole,
        },
        measures=_measures(conversation, turns),
        due=[list(each) for each in conversation.due],
        note="" if strict else _note(conversation, calls, turns),
    )


def _measures(conversation: Conversation, turns: Sequence[PlayedTurn]) -> dict[str, float]:
    """Return the share of turns that came out right, and of those in which nothing was called."""
    numbers = range(len(conversation.due))
    right = [n < len(turns) and not turns[n].wrong for n in numbers if conversation.due[n]]
    idle = [n < len(turns) and not turns[n].called for n in numbers if not conversation.due[n]]
    found = {"turns_right": right, "turns_waited": idle}
    return {name: sum(each) / len(each) for name, each in found.items() if each}


def _note(
    conversation: Conversation, calls: Sequence[Sequence[Function]], turns: Sequence[PlayedTurn]
) -> str:
    for number, turn in enumerate(turns, 1):
        if number <= len(calls) and turn.wrong:
            return f"Turn {number}: {turn.wrong}."
    steps = conversation.simulation.steps
    return f"Turn {len(calls)} was cut off: more than {steps} answers in it held calls."


def _nothing(root: Path) -> None:
    """Leave the project empty."""
