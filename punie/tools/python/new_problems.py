"""Which of a file's problems an edit has brought, told from those before and after it."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from punie.tools.python.problems import Problem

# What a message says about places and sizes changes with lines that the edit only moved.
_VOLATILE = re.compile(r"\bline \d+\b|\(\d+ > \d+\)")


def new_problems(
    old: str, new: str, before: Sequence[Problem], after: Sequence[Problem]
) -> list[Problem]:
    """Return the problems of the new text that were not in the old one, in their order.

    A problem is the same if it says the same: first one in a line that the edit left as it is,
    wherever that has moved, then any other, so that of several alike the right one is named.
    """
    moved = _moved_lines(old, new)
    places = Counter((_key(problem), moved(problem.line)) for problem in before)
    left = Counter(_key(problem) for problem in before)
    elsewhere: list[Problem] = []
    for problem in after:
        key = _key(problem)
        if places[key, problem.line]:
            places[key, problem.line] -= 1
            left[key] -= 1
        else:
            elsewhere.append(problem)
    found: list[Problem] = []
    for problem in elsewhere:
        key = _key(problem)
        if left[key]:
            left[key] -= 1
        else:
            found.append(problem)
    return found


def in_new_lines(old: str, new: str, after: Sequence[Problem]) -> list[Problem]:
    """Return the problems in lines that the old text did not have.

    This is what can be told when nobody knows what was wrong with the old text.
    """
    known = {line.strip() for line in old.split("\n")}
    lines = new.split("\n")
    return [
        problem
        for problem in after
        if 0 < problem.line <= len(lines) and lines[problem.line - 1].strip() not in known
    ]


def most_telling(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems of one file by their lines, each said once.

    Of what cannot be parsed only that is said: the rest follows from it. What ruff and ty both
    report is kept as ruff says it, so ruff's come first.
    """
    broken = [problem for problem in problems if problem.rule == "invalid-syntax"]
    kept: dict[tuple[object, ...], Problem] = {}
    for problem in broken or problems:
        rule = "F821" if problem.rule == "unresolved-reference" else problem.rule
        kept.setdefault((problem.line, rule, _named(problem)), problem)
    return sorted(kept.values(), key=lambda problem: problem.line)


def _named(problem: Problem) -> str:
    """Return the name that a problem is about, or else what it says."""
    quoted = problem.message.split("`")
    return quoted[1] if len(quoted) > 2 else problem.message


def _key(problem: Problem) -> tuple[str, str]:
    return problem.rule, _VOLATILE.sub("", problem.message)


def _moved_lines(old: str, new: str) -> Callable[[int], int | None]:
    """Return what tells where a line of the old text is in the new one; None if it was edited."""
    before, after = old.split("\n"), new.split("\n")
    most = min(len(before), len(after))
    first = 0
    while first < most and before[first] == after[first]:
        first += 1
    last = 0
    while last < most - first and before[-1 - last] == after[-1 - last]:
        last += 1
    shift = len(after) - len(before)

    def moved(line: int) -> int | None:
        if line <= first:
            return line
        return line + shift if line > len(before) - last else None

    return moved
