"""What is kept of each item, one JSON line each, and the rates over them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from punie.agent.events import StopReason
from punie.evaluation.errors import EvaluationError
from punie.evaluation.intervals import Rate, rate
from punie.evaluation.suite import Check, Verdict
from punie.training.data.example import Function, Message

RESULTS = "results.jsonl"
_OF_THE_MOMENT = {"seconds", "first_token_seconds", "read_tokens", "peak_memory"}
_SECONDS = re.compile(r"\b\d+\.\d+ ?s\b")


def untime(text: str) -> str:
    """Return a text without how long a program took, which is never the same twice."""
    return _SECONDS.sub("some time", text)


class Result(BaseModel):
    """One item as one attempt came out.

    Attributes:
        suite: the suite's name.
        item: the item's name.
        kind: what it is counted under.
        seed: of the sampling; None for greedy decoding.
        attempt: which try at it, from 0.
        verdict: how it was judged.
        stop: why the last turn ended.
        malformed, not_run, cut, requests, tokens, read_tokens, peak_memory: see `Work`.
        model_failed: see `Work`.
        trouble: what kept the model from working or the item from being judged, in a sentence; such
            an item counts as not solved.
        seconds, first_token_seconds: how long it took.
        messages: the whole conversation.
    """

    model_config = ConfigDict(frozen=True)

    suite: str
    item: str
    kind: str
    seed: int | None = None
    attempt: int = 0
    verdict: Verdict
    stop: StopReason
    malformed: int = 0
    not_run: int = 0
    cut: bool = False
    requests: int = 0
    tokens: int = 0
    read_tokens: int = 0
    peak_memory: int | None = None
    model_failed: bool = False
    trouble: str = ""
    seconds: float = 0.0
    first_token_seconds: tuple[float, ...] = ()
    messages: tuple[Message, ...] = ()

    @property
    def solved(self) -> Check:
        """Whether the item was solved."""
        return self.verdict.checks["solved"]

    def check(self, name: str) -> Check:
        """Return a check that applies to the item; wrong if the item could not be judged."""
        return self.verdict.checks.get(name, Check.of(False))

    @property
    def calls(self) -> tuple[Function, ...]:
        """All calls that the model made, in order."""
        return tuple(call.function for message in self.messages for call in message.tool_calls)

    @property
    def trajectory(self) -> dict[str, Any]:
        """What is the same whenever the same model does the same item with the same seed.

        That is all but how long things took, in results of tools too, and what the engine held.
        """
        plain = self.model_dump(mode="json", exclude=_OF_THE_MOMENT)
        measures = plain["verdict"]["measures"]
        plain["verdict"]["measures"] = {
            name: value for name, value in measures.items() if name not in _OF_THE_MOMENT
        }
        untimed: dict[str, Any] = json.loads(untime(json.dumps(plain, ensure_ascii=False)))
        return untimed


class Score(BaseModel):
    """A check over some results, strictly and softly."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    strict: Rate
    soft: Rate


def scores(results: Iterable[Result]) -> dict[str, Score]:
    """Return the rate of each check by name, over the results that it applies to."""
    found: dict[str, list[Check]] = {}
    for result in results:
        for name, check in result.verdict.checks.items():
            found.setdefault(name, []).append(check)
    return {
        name: Score(
            strict=rate(sum(check.strict for check in checks), len(checks)),
            soft=rate(sum(check.soft for check in checks), len(checks)),
        )
        for name, checks in sorted(found.items())
    }


def by_kind(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the results by kind, kinds in alphabetical order."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.kind, []).append(result)
    return dict(sorted(found.items()))


def measures(results: Sequence[Result]) -> Mapping[str, list[float]]:
    """Return every measure by name, one value for each result that has it."""
    found: dict[str, list[float]] = {}
    for result in results:
        for name, value in result.verdict.measures.items():
            found.setdefault(name, []).append(value)
    return dict(sorted(found.items()))


def without_words(result: Result) -> Result:
    """Return a result without the conversation and what would have been right.

    Times are rounded to a tenth of a millisecond.
    """
    return result.model_copy(
        update={
            "messages": (),
            "verdict": result.verdict.model_copy(update={"due": None}),
            "seconds": round(result.seconds, 4),
            "first_token_seconds": tuple(round(each, 4) for each in result.first_token_seconds),
        }
    )


def result_line(result: Result) -> str:
    """Return a result as its line of a JSON-lines file, with the newline."""
    return result.model_dump_json(exclude_defaults=True) + "\n"


def read_results(file: Path) -> list[Result]:
    """Read a file of results.

    Raises:
        EvaluationError: it cannot be read, or a line is not a result.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read ({error.strerror}).") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Result.model_validate_json(line))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise EvaluationError(f"{file}, line {number}: not a result ({reason}).") from error
    return found
