"""What judges of the suites about tools look at: calls that ran, their results, the files left."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from punie.evaluation.suite import Check
from punie.evaluation.suites.seeing import shows, told
from punie.evaluation.suites.written import Facts
from punie.evaluation.work import Executed, Work
from punie.tools.catalog import ALL_TOOLS
from punie.training.data.example import Function

_STRETCH = 1_500
"""Characters; a whole small file or a commit may be shown to who asks for it."""

_CHANGING = frozenset(tool.name for tool in ALL_TOOLS if tool.effect == "edit")


def done(work: Work) -> list[Executed]:
    """Return the calls that ran to a good end, in order, those that code made among them."""
    return [each for each in work.executed if each.ran and not each.failed]


def own(executed: Sequence[Executed]) -> list[Executed]:
    """Return the calls that the model itself made."""
    return [each for each in executed if not each.inner]


def since_last_prompt(work: Work) -> list[Executed]:
    """Return the calls after what the person said last, in order."""
    prompts = [index for index, each in enumerate(work.messages) if each.role == "user"]
    last = prompts[-1] if prompts else 0
    left = sum(len(message.tool_calls) for message in work.messages[last:])
    found: list[Executed] = []
    for each in reversed(work.executed):
        if left == 0:
            break
        found.append(each)
        left -= not each.inner
    return found[::-1]


def ended_well(work: Work) -> bool:
    """Tell whether the model came to an end of its own and said something itself."""
    said = bool(work.answer) and not _repeats(work)
    return work.stop == "end_turn" and not work.cut and said


def _repeats(work: Work) -> bool:
    """Tell whether the answer repeats a long stretch of what a call returned.

    Who says all that was seen has said what was asked for too, but has not answered.
    """
    return any(
        each.result[start : start + _STRETCH] in work.answer
        for each in work.executed
        for start in range(0, len(each.result) - _STRETCH + 1, _STRETCH // 4)
    )


def shown_after(work: Work, texts: Facts) -> int | None:
    """Return after how many calls everything had been shown; None if something never was."""
    last = 0
    for text in texts:
        places = (n for n, each in enumerate(work.executed, 1) if has_shown(each, text))
        place = next(places, None)
        if place is None:
            return None
        last = max(last, place)
    return last


def has_shown(executed: Executed, text: str | Sequence[str]) -> bool:
    """Tell whether a call came to a good end and showed a text, or one of several.

    What it was told itself it has not shown.
    """
    own = told(executed)
    return (
        shows(executed)
        and not executed.failed
        and any(
            each in executed.result and each not in own
            for each in ([text] if isinstance(text, str) else text)
        )
    )


def changes(executed: Executed) -> bool:
    """Tell whether a call changes files as its purpose, by which tool it is of."""
    call = executed.call
    if call.name == "lint":
        return call.arguments.get("fix") is True
    return call.name in _CHANGING


def last_change(work: Work) -> int | None:
    """Return the number of the last call that changed files, counted from 1; None without one."""
    numbers = [
        number
        for number, each in enumerate(work.executed, 1)
        if each.ran and not each.failed and changes(each)
    ]
    return numbers[-1] if numbers else None


def changed_files(work: Work, before: Mapping[str, str]) -> set[str]:
    """Return the paths of all files that differ from what they were, or are new, or gone."""
    old = {path: text.encode() for path, text in before.items()}
    return {path for path in {*old, *work.files} if old.get(path) != work.files.get(path)}


def left(work: Work, wanted: Mapping[str, str]) -> Check:
    """Tell whether the files are the wanted ones; softly, whether they mean the same.

    Python means the same if it is the same code; in other texts white space at the end of lines,
    and empty lines at the end of the file, do not matter.
    """
    strict = work.files == {path: text.encode() for path, text in wanted.items()}
    soft = set(work.files) == set(wanted) and all(
        _alike(path, work.files[path], text) for path, text in wanted.items()
    )
    return Check(strict=strict, soft=strict or soft)


def _alike(path: str, data: bytes, wanted: str) -> bool:
    if data == wanted.encode():
        return True
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    if path.endswith(".py"):
        try:
            return ast.dump(ast.parse(text)) == ast.dump(ast.parse(wanted))
        except (SyntaxError, ValueError, RecursionError):
            return False
    return _stripped(text) == _stripped(wanted)


def _stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def both(*checks: Check) -> Check:
    """Return what holds if all checks do."""
    return Check(strict=all(c.strict for c in checks), soft=all(c.soft for c in checks))


def why_not(solved: bool, *reasons: tuple[bool, str]) -> str:
    """Return the first reason whose condition does not hold; "" if the item is solved."""
    return "" if solved else next((reason for holds, reason in reasons if not holds), "")


@dataclass(frozen=True)
class OnlyThese:
    """Allows these calls and no other."""

    calls: tuple[Function, ...]

    def __call__(self, call: Function) -> bool:
        """Tell whether the person allows this call once."""
        return call in self.calls
