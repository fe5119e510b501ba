"""Whether what a model did for a generated task is right: files, answer and every call."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from punie.agent.events import TurnEvent
from punie.tools.base import AnyTool
from punie.training.data.accepted import final_answer, turns_of, why_not_accepted

Answers = Literal["exact", "facts"]
"""Whether an answer must be what is due word for word, or only tell all that it tells: every name,
number and output."""

_FACTS = re.compile(r"`([^`]+)`|(?<![\w.])(\d+(?:\.\d+)?)(?![\w.]*\d)")
_OUTPUT = re.compile(r": (.+)\Z", re.DOTALL)
_LEFT_BEHIND = frozenset({"__pycache__", ".pytest_cache", ".ruff_cache", ".git"})


@dataclass(frozen=True)
class Due:
    """What a task is to come to: the files afterwards, the answer, and whether it takes tools."""

    files: Mapping[str, bytes]
    answer: str
    calls: int


def files_in(root: Path) -> dict[str, bytes]:
    """Return the contents of a project's files by relative path, without what tools leave."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and _LEFT_BEHIND.isdisjoint(path.relative_to(root).parts)
    }


def why_not_verified(
    due: Due,
    events: Sequence[TurnEvent],
    files: Mapping[str, bytes],
    tools: Mapping[str, AnyTool],
    answers: Answers = "facts",
) -> str | None:
    """Return in a few words what is wrong with a model's turn on a task, None if it is right."""
    (turn,) = turns_of(events)
    reason = why_not_accepted(turn, tools)
    if reason is not None:
        return reason
    called = any(True for _ in turn.calls)
    if due.calls and not called:
        return "it answered without looking"
    if called and not due.calls:
        return "it used tools where none are needed"
    if files != due.files:
        return "the files are not as due"
    answer = final_answer(events)
    if answers == "exact":
        return None if _words(answer) == _words(due.answer) else "the answer is not as due"
    return None if tells(answer, due) else "the answer lacks what is due"


def tells(answer: str, due: Due) -> bool:
    """Tell whether an answer has every name, number and output of the one that is due.

    Of one that needs no tools only that there is one.
    """
    if not due.calls:
        return bool(answer)
    said = _words(answer.replace("`", ""))
    return all(_occurs(fact, said) for fact in facts(due.answer))


def facts(answer: str) -> list[str]:
    """Return what an answer tells that cannot be said in another way."""
    output = _OUTPUT.search(answer)
    found = [name or number for name, number in _FACTS.findall(answer)]
    return [*found, *([output[1]] if output else [])]


def _occurs(fact: str, text: str) -> bool:
    plain = re.escape(_words(fact.replace("`", "")).rstrip("."))
    return re.search(rf"(?<!\w)(?<!\d\.){plain}(?!\w)(?!\.\d)", text) is not None


def _words(text: str) -> str:
    return " ".join(text.split())
