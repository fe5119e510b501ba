"""How a model did on tasks: what counts as right, strictly and softly, and the rates of it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from punie.agent.events import StopReason
from punie.evaluation.calls import is_exactly, means_same
from punie.evaluation.facts import names
from punie.evaluation.intervals import Rate, rate
from punie.evaluation.results import untime
from punie.evaluation.suite import Check, Verdict
from punie.evaluation.work import Work
from punie.training.data.example import Function, Message

_FACT = re.compile(r"`([^`]+)`|(?<![\w.])(\d+(?:\.\d+)?)(?![\w.]*\w)")
_PRINTED = re.compile(r": (.+)\Z", re.DOTALL)
_NEGATION = re.compile(
    r"\b(?:no|not|none|nothing|never|cannot|empty|fail(?:s|ed|ure)?|\w+n't)\b", re.I
)


@dataclass(frozen=True)
class Due:
    """What a task asks for, as its teacher did it: the calls, the last answer, the files left."""

    calls: tuple[Function, ...]
    answer: str
    files: Mapping[str, bytes]


class Outcome(BaseModel):
    """How a model did on one task, and the whole trajectory.

    Attributes:
        number: which task of the evaluation; with the same options it is the same task.
        attempt: which try at it, from 0.
        kind: what kind of task.
        steps: 2 if a second step needs what the first one returned.
        tool: the first call names the right tool, or rightly there is none.
        tool_soft: the right tool is called at some time, or rightly none.
        arguments: every argument of the first call is exact; None where no call was due.
        arguments_soft: some call of the right tool means the same: defaults written out, paths
            written in another way.
        solved: the files afterwards and the last answer are what the teacher left and said.
        solved_soft: the files are, or where tests decide these pass untouched, and the answer names
            every fact that the teacher's names.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    attempt: int = 0
    kind: str
    steps: int
    prompt: str
    tool: bool
    tool_soft: bool
    arguments: bool | None
    arguments_soft: bool | None
    solved: bool
    solved_soft: bool
    due: tuple[Function, ...]
    due_answer: str
    answer: str
    stop: StopReason
    malformed: int = 0
    cut: bool = False
    requests: int = 0
    tokens: int = 0
    trouble: str = ""
    messages: tuple[Message, ...]

    @property
    def calls(self) -> tuple[Function, ...]:
        """All calls that the model made, in order."""
        return tuple(call.function for message in self.messages for call in message.tool_calls)


def judge(number: int, attempt: int, kind: str, steps: int, due: Due, work: Work) -> Outcome:
    """Compare what a model did with what was due."""
    first = work.calls[0] if work.calls else None
    wanted = due.calls[0] if due.calls else None
    alike = [call for call in work.calls if wanted and call.name == wanted.name]
    same_files = work.files == due.files
    return Outcome(
        number=number,
        attempt=attempt,
        kind=kind,
        steps=steps,
        prompt=work.messages[0].content,
        tool=(first and first.name) == (wanted and wanted.name),
        tool_soft=not work.calls if wanted is None else bool(alike),
        arguments=None if wanted is None else first is not None and is_exactly(first, wanted),
        arguments_soft=None if wanted is None else any(means_same(call, wanted) for call in alike),
        solved=same_files and untime(work.answer) == untime(due.answer),
        solved_soft=(same_files if work.tests is None else work.tests and same_tests(due, work))
        and names_facts(work.answer, due.answer),
        due=due.calls,
        due_answer=due.answer,
        answer=work.answer,
        stop=work.stop,
        malformed=work.malformed,
        cut=work.cut,
        requests=work.requests,
        tokens=work.tokens,
        trouble=work.trouble,
        messages=work.messages,
    )


def verdict(steps: int, due: Due, work: Work) -> Verdict:
    """Judge what a model did by what was due."""
    first = work.calls[0] if work.calls else None
    wanted = due.calls[0] if due.calls else None
    alike = [call for call in work.calls if wanted and call.name == wanted.name]
    same_files = work.files == due.files
    right_files = same_files
    if work.tests is not None:
        right_files = work.tests and same_tests(due, work)
    strict = same_files and untime(work.answer) == untime(due.answer)
    solved = Check(strict=strict, soft=right_files and names_facts(work.answer, due.answer))
    checks = {
        "solved": solved,
        "tool": Check(
            strict=(first and first.name) == (wanted and wanted.name),
            soft=not work.calls if wanted is None else bool(alike),
        ),
    }
    if wanted is not None:
        exact = first is not None and is_exactly(first, wanted)
        meant = any(means_same(call, wanted) for call in alike)
        checks["arguments"] = Check(strict=exact, soft=meant)
    if steps == 2:
        checks["two_steps"] = solved
    return Verdict(
        checks=checks,
        due={"calls": [call.model_dump() for call in due.calls], "answer": due.answer},
        note="" if strict else _note(same_files, right_files, solved, work, due),
    )


def _note(same_files: bool, right_files: bool, solved: Check, work: Work, due: Due) -> str:
    """Say why a task is not solved."""
    if not right_files:
        return "The project's tests fail." if work.tests is False else "The files are not as due."
    if not same_files:
        return "The files are changed in another way than is due."
    if solved.soft:
        return "The answer says what is due in other words."
    return "There is no answer." if not work.answer else "The answer is not what is due."


def same_tests(due: Due, work: Work) -> bool:
    """Tell whether a model left the tests as they are."""
    one, other = (
        {path: text for path, text in files.items() if is_test(path)}
        for files in (due.files, work.files)
    )
    return one == other


def is_test(path: str) -> bool:
    """Tell whether a file holds tests."""
    name = path.rpartition("/")[2]
    return name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"


def names_facts(answer: str, due: str) -> bool:
    """Tell whether an answer names what the due one does: code, numbers, and what was printed.

    One that says that something is not so must say so too. Without facts any answer will do.
    """
    answer, due = untime(answer), untime(due)
    facts = [code or number for code, number in _FACT.findall(due)]
    facts += [printed[1] for printed in [_PRINTED.search(due)] if printed]
    if not answer or not all(names(answer, fact) for fact in facts):
        return False
    plain, due_plain = (re.sub(r"`[^`]*`", "", text) for text in (answer, due))
    return not _NEGATION.search(due_plain) or bool(_NEGATION.search(plain))


def rates(outcomes: Sequence[Outcome]) -> dict[str, Rate]:
    """Return the rates of an evaluation by name; of several attempts at a task the first counts.

    What ends in `_soft` is measured softly; see `Outcome`. Rates by kind are named `solved:KIND`.
    """
    first = [outcome for outcome in outcomes if outcome.attempt == 0]
    calls = [outcome for outcome in first if outcome.arguments is not None]
    two_steps = [outcome for outcome in first if outcome.steps == 2]
    found = {
        "right_tool_or_rightly_none": _rate([o.tool for o in first]),
        "right_tool_or_rightly_none_soft": _rate([o.tool_soft for o in first]),
        "exact_arguments": _rate([bool(o.arguments) for o in calls]),
        "exact_arguments_soft": _rate([bool(o.arguments_soft) for o in calls]),
        "two_step_tasks_solved": _rate([o.solved for o in two_steps]),
        "two_step_tasks_solved_soft": _rate([o.solved_soft for o in two_steps]),
        "all_tasks_solved": _rate([o.solved for o in first]),
        "all_tasks_solved_soft": _rate([o.solved_soft for o in first]),
    }
    if len(first) < len(outcomes):
        tasks = {o.number: False for o in outcomes}
        tasks.update({o.number: True for o in outcomes if o.solved})
        found["solved_in_any_attempt"] = _rate(list(tasks.values()))
    for kind in sorted({o.kind for o in first}):
        found[f"solved:{kind}"] = _rate([o.solved for o in first if o.kind == kind])
    return found


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the rates as plain data, each with its interval, and by kind."""
    named = rates(outcomes)
    plain = {name: plain_rate(each) for name, each in named.items() if ":" not in name}
    kinds = {
        name.partition(":")[2]: plain_rate(each) for name, each in named.items() if ":" in name
    }
    return {**plain, "solved_by_kind": kinds}


def plain_rate(of: Rate) -> dict[str, float | int]:
    """Return a rate as plain data."""
    return {
        "rate": round(of.value, 4),
        "hits": of.hits,
        "of": of.of,
        "low": round(of.low, 4),
        "high": round(of.high, 4),
    }


def _rate(values: Sequence[bool]) -> Rate:
    return rate(sum(values), len(values))


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the rates as lines of text, strict and soft side by side."""
    named = rates(outcomes)
    lines = []
    for name, strict in named.items():
        if name.endswith("_soft"):
            continue
        soft = named.get(f"{name}_soft")
        label = name.replace("_", " ").replace(":", ": ")
        lines.append(f"{label}: {strict}" + (f"; softly {soft}" if soft else ""))
    return lines


def outcome_line(outcome: Outcome) -> str:
    """Return an outcome as its line of a JSON-lines file, with the newline."""
    return json.dumps(outcome.model_dump(mode="json", exclude_defaults=True)) + "\n"
