"""How a model did on generated tasks: what counts as right, and the rates that are published."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from punie.evaluation.calls import is_exactly, means_same
from punie.evaluation.facts import names
from punie.evaluation.intervals import Rate, rate
from punie.evaluation.results import Result, by_kind, untime
from punie.evaluation.suite import Check, Verdict
from punie.evaluation.suites.seeing import told
from punie.evaluation.summary import plain_rate
from punie.evaluation.work import Executed, Work
from punie.training.data.example import Function

_FACT = re.compile(r"`([^`]+)`|(?<![\w.])(\d+(?:\.\d+)?)(?![\w.]*\w)")
_PRINTED = re.compile(r": (.+)\Z", re.DOTALL)
_NEGATION = re.compile(
    r"\b(?:no|not|none|nothing|never|cannot|empty|fail(?:s|ed|ure)?|\w+n't)\b", re.I
)
_PUBLISHED = {
    "right_tool_or_rightly_none": "tool",
    "exact_arguments": "arguments",
    "two_step_tasks_solved": "two_steps",
    "all_tasks_solved": "solved",
}
"""The names of rates as pages and gates have them, and the checks that they are of."""


@dataclass(frozen=True)
class Due:
    """What a task asks for, as its teacher did it: the calls, the last answer, the files left.

    `shown` are the facts of the answer that results showed to the teacher, and `changes` tells
    whether files differ from what they were.
    """

    calls: tuple[Function, ...]
    answer: str
    files: Mapping[str, bytes]
    shown: tuple[str, ...] = ()
    changes: bool = False


def verdict(steps: int, due: Due, work: Work) -> Verdict:
    """Judge what a model did by what was due; a task of two `steps` needs what the first returned.

    The checks:

    - `solved`: the files afterwards and the last answer are what the teacher left and said. Softly
      the files are, or where tests decide these pass untouched, and the answer names every fact
      that the teacher's names. Where a call is due, words without any are worth nothing, and what
      calls showed to the teacher they must have shown here too.
    - `two_steps`: the same, of such tasks.
    - `tool`: the first call names the right tool, or rightly there is none. Softly the right tool
      is called at some time.
    - `arguments`: every argument of the first call is exact, where a call is due. Softly some call
      means the same.
    """
    first = work.calls[0] if work.calls else None
    wanted = due.calls[0] if due.calls else None
    alike = [call for call in work.calls if wanted and call.name == wanted.name]
    same_files = work.files == due.files
    right_files = same_files
    if work.tests is not None:
        right_files = work.tests and same_tests(due, work)
    looked = wanted is None or _saw(due, work)
    meant_so = looked and (wanted is None or _did_alike(due, work))
    strict = meant_so and same_files and untime(work.answer) == untime(due.answer)
    soft = looked and right_files and names_facts(work.answer, due.answer)
    solved = Check(strict=strict, soft=soft)
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
        note="" if strict else _note(looked, same_files, right_files, solved, work, due),
    )


def _saw(due: Due, work: Work) -> bool:
    """Tell whether calls ran, and showed what they showed to the teacher."""
    ran = [each for each in work.executed if each.ran]
    return bool(ran) and all(any(shows_fact(each, fact) for each in ran) for fact in due.shown)


def shows_fact(executed: Executed, fact: str) -> bool:
    """Tell whether the result of a call holds a fact that the call itself was not told."""
    return names(untime(executed.result), fact) and not names(told(executed), fact)


def _did_alike(due: Due, work: Work) -> bool:
    """Tell whether the answer rests on a look, where that there is nothing is the answer.

    Then no result can show it, and some call must have asked for the same.
    """
    if due.shown or due.changes:
        return True
    made = [each.call for each in work.executed if each.ran]
    return any(means_same(call, wanted) for call in made for wanted in due.calls)


def _note(
    looked: bool, same_files: bool, right_files: bool, solved: Check, work: Work, due: Due
) -> str:
    """Say why a task is not solved."""
    if not looked:
        called = any(each.ran for each in work.executed)
        return "No call showed what is due." if called else "No call ran, and one is due."
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


def facts_of(answer: str) -> list[str]:
    """Return what an answer of a teacher states: code, numbers, and what was printed."""
    found = [code or number for code, number in _FACT.findall(answer)]
    return found + [printed[1] for printed in [_PRINTED.search(answer)] if printed]


def names_facts(answer: str, due: str) -> bool:
    """Tell whether an answer names what the due one does: code, numbers, and what was printed.

    One that says that something is not so must say so too. Without facts any answer will do.
    """
    answer, due = untime(answer), untime(due)
    if not answer or not all(names(answer, fact) for fact in facts_of(due)):
        return False
    plain, due_plain = (re.sub(r"`[^`]*`", "", text) for text in (answer, due))
    return not _NEGATION.search(due_plain) or bool(_NEGATION.search(plain))


def rates(results: Sequence[Result]) -> dict[str, Rate]:
    """Return the rates of an evaluation by name; of several attempts at a task the first counts.

    What ends in `_soft` is measured softly; see `verdict`. Rates by kind are named `solved:KIND`.
    """
    first = [result for result in results if result.attempt == 0]
    found: dict[str, Rate] = {}
    for name, check in _PUBLISHED.items():
        seen = [r.verdict.checks[check] for r in first if check in r.verdict.checks]
        found[name] = _rate([each.strict for each in seen])
        found[f"{name}_soft"] = _rate([each.soft for each in seen])
    if len(first) < len(results):
        tasks = {result.item: False for result in results}
        tasks.update({result.item: True for result in results if result.solved.strict})
        found["solved_in_any_attempt"] = _rate(list(tasks.values()))
    for kind, own in by_kind(first).items():
        found[f"solved:{kind}"] = _rate([result.solved.strict for result in own])
    return found


def summarise(results: Sequence[Result]) -> dict[str, Any]:
    """Return the rates as plain data, each with its interval, and by kind."""
    named = rates(results)
    plain = {name: plain_rate(each) for name, each in named.items() if ":" not in name}
    kinds = {
        name.partition(":")[2]: plain_rate(each) for name, each in named.items() if ":" in name
    }
    return {**plain, "solved_by_kind": kinds}


def _rate(values: Sequence[bool]) -> Rate:
    return rate(sum(values), len(values))
