"""The Berkeley Function Calling Leaderboard, from a checkout of it.

Its functions are offered in place of Punie's own tools. Of questions of one turn the first answer
of the model counts; those of several turns are in `bfcl_turns`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import assert_never

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Check, Item, Needs, Say, Verdict
from punie.evaluation.suites.external.bfcl_conversations import Conversation, read_conversations
from punie.evaluation.suites.external.bfcl_entries import (
    OF_SEVERAL_TURNS,
    Broken,
    Question,
    not_scored,
    prompt_of,
    read_questions,
    scored_files,
)
from punie.evaluation.suites.external.bfcl_functions import function_tools
from punie.evaluation.suites.external.bfcl_scoring import called_name, fault_of_calls
from punie.evaluation.suites.external.bfcl_turns import conversation_item
from punie.evaluation.suites.external.not_done import item_not_done
from punie.evaluation.suites.external.versions import checkout_version
from punie.evaluation.work import Work
from punie.training.data.example import Function

_RULES = 2
_NEEDS = Needs(requests=1, tokens=2_048, seconds=300.0)


@dataclass(frozen=True)
class Bfcl:
    """BFCL's questions, counted by category and judged by the rules of its own scorer."""

    checkout: Path
    name: str = "bfcl"
    about: str = "Function calls of the Berkeley leaderboard, by its own scorer's rules."

    @cached_property
    def left_out(self) -> str:
        """The categories of the checkout that are not scored."""
        return not_scored(self.checkout)

    @cached_property
    def version(self) -> int:
        """The rules and the questions as they are in the checkout."""
        return checkout_version(_RULES, [repr(each) for each in self._questions.items()])

    def names(self) -> Sequence[str]:
        """Return the ids of all questions, category by category."""
        return tuple(self._questions)

    async def item(self, name: str, folder: Path) -> Item:
        """Return a question; one whose line or answer is broken says so when it is run."""
        found = self._questions.get(name)
        if found is None:
            raise EvaluationError(f"{self.checkout} has no question {name!r}.")
        if isinstance(found, Broken):
            return item_not_done(name, found.category, found.reason)
        if isinstance(found, Conversation):
            return await conversation_item(found)
        return question_item(found)

    @cached_property
    def _questions(self) -> dict[str, Question | Conversation | Broken]:
        files = scored_files(self.checkout)
        several = {name: file for name, file in files.items() if name in OF_SEVERAL_TURNS}
        one = {name: file for name, file in files.items() if name not in several}
        return {**read_questions(one), **read_conversations(several)}


@dataclass(frozen=True)
class CallJudge:
    """Judges the calls of an answer."""

    question: Question

    async def judge(self, work: Work, root: Path) -> Verdict:
        """Compare the calls that could be read with those that are due."""
        calls = [each.call for each in work.executed if not each.inner]
        readable = max(0, len(calls) - work.malformed)
        match self.question.judged:
            case "calls":
                return self._compared(calls, work.malformed)
            case "no_call":
                right, note = readable == 0, "A function was called, and none has to do with it."
            case "some_call":
                right, note = readable > 0, "No function was called."
            case _:
                assert_never(self.question.judged)
        check = Check.of(right)
        return Verdict(
            checks={"solved": check, "tool": check},
            due=self.question.judged,
            note="" if right else note,
        )

    def _compared(self, calls: Sequence[Function], malformed: int) -> Verdict:
        question = self.question
        fault = f"{malformed} calls could not be read" if malformed else ""
        if not fault:
            functions = question.entry.function
            fault = fault_of_calls(functions, question.due, calls, question.language)
        named = Counter(called_name(name) for each in question.due for name in each)
        checks = {
            "solved": Check.of(not fault),
            "tool": Check.of(named == Counter(call.name for call in calls)),
        }
        if checks["tool"].strict:
            checks["arguments"] = checks["solved"]
        return Verdict(
            checks=checks,
            due=[dict(each) for each in question.due],
            note=f"{fault[:1].upper()}{fault[1:]}." if fault else "",
        )


def question_item(question: Question) -> Item:
    """Return a question as an item."""
    name, kind = question.entry.id, question.category
    try:
        tools = function_tools(question.entry.function, question.language)
    except EvaluationError as error:
        return item_not_done(name, kind, f"{name}: {error}")
    return Item(
        name=name,
        kind=kind,
        actions=(Say(prompt_of(question.entry.question[0])),),
        prepare=_nothing,
        judge=CallJudge(question).judge,
        tools=tools,
        needs=_NEEDS,
    )


def _nothing(root: Path) -> None:
    """Leave the project empty."""
