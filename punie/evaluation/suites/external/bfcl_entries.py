"""The files of the Berkeley Function Calling Leaderboard: its categories, questions and answers.

Each category is a file of JSON lines, `BFCL_v4_CATEGORY.json`, and what is right stands in a file
of the same name in `possible_answer`. The layout is described in the README beside the files.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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

_NOT_SCORED = (
    (("multi_turn",), "several turns are answered by BFCL's own programs, which are not run here"),
    (("memory",), "memory is kept by BFCL's own programs, which are not run here"),
    (("web_search",), "pages of the web are asked for, and nothing here uses the network"),
    (("format_sensitivity",), "it varies how BFCL's prompt is written, and here Punie's is used"),
    (("sql", "rest", "exec", "executable", "chatable"), "BFCL itself no longer scores them"),
)
"""Beginnings of the names of other categories, and why they are left out."""


class _Turn(BaseModel):
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
    question: tuple[tuple[_Turn, ...], ...] = Field(min_length=1)
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


def read_questions(checkout: Path) -> dict[str, Question | Broken]:
    """Return all questions of the categories that are scored, by id.

    In place of one that is broken stands why; it is named by its line if it has no id.

    Raises:
        EvaluationError: the checkout has no such category, or a file cannot be read.
    """
    found: dict[str, Question | Broken] = {}
    for category, file in _files(checkout).items():
        judged, language = _SCORED[category]
        answers = _answers(file.parent / _ANSWERS / file.name) if judged == "calls" else {}
        for number, line in _lines(file):
            where = f"{file.name}, line {number}"
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                found[f"{category}/line-{number}"] = Broken(
                    category, f"{where}: not a question ({reason})."
                )
                continue
            question = Question(category, judged, language, entry)
            if judged == "calls":
                found[entry.id] = _with_answer(question, answers, where)
            else:
                found[entry.id] = question
    return found


def not_scored(checkout: Path) -> str:
    """Return which categories of the checkout are left out and why, in a sentence; "" if none."""
    reasons: dict[str, list[str]] = {}
    for category in sorted(set(_found(checkout)) - set(_SCORED)):
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


def _files(checkout: Path) -> dict[str, Path]:
    """Return the files of the categories that are scored, of the newest version that is there."""
    newest = _found(checkout)
    found = {category: file for category, file in newest.items() if category in _SCORED}
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


def _answers(file: Path) -> dict[str, _Answer | str]:
    """Return the answers of a category by id; in place of a broken one why it is."""
    if not file.is_file():
        return {}
    found: dict[str, _Answer | str] = {}
    for number, line in _lines(file):
        try:
            answer = _Answer.model_validate_json(line)
            found[answer.id] = answer
        except ValidationError as error:
            name = _id_of(line)
            reason = error.errors()[0]["msg"]
            if name is not None:
                found[name] = f"{_ANSWERS}/{file.name}, line {number}: {reason}"
    return found


def _id_of(line: str) -> str | None:
    try:
        return str(json.loads(line)["id"])
    except (ValueError, TypeError, KeyError):
        return None


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{file} cannot be read: it is not UTF-8.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line
