"""The files of the Berkeley Function Calling Leaderboard: its categories, questions and answers.

Each category is a file of JSON lines, `BFCL_v4_CATEGORY.json`, and what is right stands in a file
of the same name in `possible_answer`. The layout is described in the README beside the files.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suites.external.bfcl_scoring import CodeLanguage

Judged = Literal["calls", "no_call", "some_call"]
"""By the calls that are due, or by whether any is made."""

_FOLDERS = (
    "",
    "data",
    "bfcl_eval/data",
    "berkeley-function-call-leaderboard/bfcl_eval/data",
    "berkeley-function-call-leaderboard/data",
)
_FILE = re.compile(r"BFCL_v(\d+)_(\w+)\.json")
_ANSWERS = "possible_answer"
_CALLS = {"simple", "multiple", "parallel", "parallel_multiple"}
_SCORED: Mapping[str, tuple[Judged, CodeLanguage]] = {
    **dict.fromkeys(sorted(_CALLS | {f"live_{each}" for each in _CALLS}), ("calls", "python")),
    "simple_python": ("calls", "python"),
    **dict.fromkeys(("java", "simple_java"), ("calls", "java")),
    **dict.fromkeys(("javascript", "simple_javascript"), ("calls", "javascript")),
    **dict.fromkeys(("irrelevance", "live_irrelevance"), ("no_call", "python")),
    "live_relevance": ("some_call", "python"),
}
"""Categories of one turn, which are scored by the calls alone."""

OF_SEVERAL_TURNS = frozenset(
    f"multi_turn_{each}" for each in ("base", "miss_func", "miss_param", "long_context")
)
"""Categories that are scored by what calls do, see `bfcl_conversations`."""

_NOT_SCORED = (
    (("memory",), "memory is kept by other programs of BFCL, which are not run here"),
    (("web_search",), "pages of the web are asked for, and nothing here uses the network"),
    (("format_sensitivity",), "it varies how BFCL's prompt is written, and here Punie's is used"),
    (
        ("sql", "rest", "exec", "executable", "chatable", "multi_turn_composite"),
        "BFCL itself no longer scores them",
    ),
)
"""Beginnings of the names of other categories, and why they are left out."""


class Message(BaseModel):
    """What is said in a question, and by whom."""

    model_config = ConfigDict(frozen=True)

    role: str
    content: str


class Entry(BaseModel):
    """A question with the functions that may be called, and what is right.

    Attributes:
        id: its name, such as `simple_python_12`.
        question: messages by turn.
        function: the functions as BFCL describes them.
    """

    model_config = ConfigDict(frozen=True)

    id: str = Field(min_length=1)
    question: tuple[tuple[Message, ...], ...] = Field(min_length=1)
    function: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Question:
    """An entry of a category that is scored; `due` is empty where no calls are compared."""

    category: str
    judged: Judged
    language: CodeLanguage
    entry: Entry
    due: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Broken:
    """What stands in place of a question that cannot be asked, and why, in a sentence."""

    category: str
    reason: str


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    ground_truth: tuple[dict[str, dict[str, Any]], ...] = Field(min_length=1)


_Read = TypeVar("_Read", bound=BaseModel)


def read_questions(files: Mapping[str, Path]) -> dict[str, Question | Broken]:
    """Return the questions of these categories of one turn, by id.

    In place of one that is broken stands why; it is named by its line if it has no id.

    Raises:
        EvaluationError: a file cannot be read.
    """
    found: dict[str, Question | Broken] = {}
    for category, file in files.items():
        judged, language = _SCORED[category]
        answers = answers_of(_Answer, file) if judged == "calls" else {}
        for number, entry in entries_of(Entry, file):
            if isinstance(entry, str):
                found[f"{category}/line-{number}"] = Broken(category, entry)
                continue
            question = Question(category, judged, language, entry)
            if judged == "calls":
                found[entry.id] = _with_answer(question, answers, f"{file.name}, line {number}")
            else:
                found[entry.id] = question
    return found


def not_scored(checkout: Path) -> str:
    """Return which categories of the checkout are left out and why, in a sentence; "" if none."""
    reasons: dict[str, list[str]] = {}
    for category in sorted(set(_found(checkout)) - set(_SCORED) - OF_SEVERAL_TURNS):
        found = (why for names, why in _NOT_SCORED if category.startswith(names))
        reasons.setdefault(next(found, "they are not known"), []).append(category)
    told = [f"{', '.join(names)} ({why})" for why, names in reasons.items()]
    return f"Left out are {'; '.join(told)}." if told else ""


def _with_answer(
    question: Question, answers: Mapping[str, _Answer | str], where: str
) -> Question | Broken:
    answer = answers.get(question.entry.id, "there is none")
    if isinstance(answer, str):
        reason = f"{where}: no possible answer for {question.entry.id} ({answer})."
        return Broken(question.category, reason)
    return Question(
        question.category, question.judged, question.language, question.entry, answer.ground_truth
    )


def scored_files(checkout: Path) -> dict[str, Path]:
    """Return the files of the categories that are scored, of the newest version that is there.

    Raises:
        EvaluationError: there are none.
    """
    newest = _found(checkout)
    scored = {*_SCORED, *OF_SEVERAL_TURNS}
    found = {category: file for category, file in newest.items() if category in scored}
    if not found:
        folder = next(iter(newest.values())).parent
        raise EvaluationError(
            f"{folder} has none of the categories that are scored, only {', '.join(newest)}."
        )
    return found


def _found(checkout: Path) -> dict[str, Path]:
    """Return the files of all categories of the newest version that is there."""
    for folder in _FOLDERS:
        versions: dict[int, dict[str, Path]] = {}
        for file in sorted((checkout / folder).glob("BFCL_v*.json")):
            named = _FILE.fullmatch(file.name)
            if named is not None:
                versions.setdefault(int(named[1]), {})[named[2]] = file
        if versions:
            return versions[max(versions)]
    raise EvaluationError(
        f"{checkout} is not a checkout for the suite bfcl: it has no BFCL_v4_simple_python.json "
        f"or the like, nor has {_FOLDERS[2]} in it."
    )


def entries_of(kind: type[_Read], file: Path) -> Iterator[tuple[int, _Read | str]]:
    """Yield the questions of a file with the numbers of their lines; why, for a broken one.

    Raises:
        EvaluationError: the file cannot be read.
    """
    for number, line in lines_of(file):
        try:
            yield number, kind.model_validate_json(line)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            yield number, f"{file.name}, line {number}: not a question ({reason})."


def answers_of(kind: type[_Read], file: Path) -> dict[str, _Read | str]:
    """Return the answers to a file of questions by id; in place of a broken one why it is.

    Raises:
        EvaluationError: the file of the answers cannot be read.
    """
    answers = file.parent / _ANSWERS / file.name
    if not answers.is_file():
        return {}
    found: dict[str, _Read | str] = {}
    for number, line in lines_of(answers):
        name = _id_of(line)
        if name is None:
            continue
        try:
            found[name] = kind.model_validate_json(line)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            found[name] = f"{_ANSWERS}/{file.name}, line {number}: {reason}"
    return found


def prompt_of(messages: Sequence[Message]) -> str:
    """Return the messages of a turn as one prompt: what a system prompt says stands first."""
    if any(message.role == "assistant" for message in messages):
        return "\n\n".join(f"{message.role}: {message.content}" for message in messages)
    return "\n\n".join(message.content for message in messages)


def _id_of(line: str) -> str | None:
    try:
        return str(json.loads(line)["id"])
    except (ValueError, TypeError, KeyError):
        return None


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are not empty, with their numbers.

    Raises:
        EvaluationError: the file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{file} cannot be read: it is not UTF-8.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line
