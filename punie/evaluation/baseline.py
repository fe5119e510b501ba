"""A baseline: how the items of a run came out, kept to see later whether anything got worse.

It is the folder of a run without its conversations, small enough to lie in a repository. Verdicts
alone are compared, so that it serves on any machine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.evaluation.errors import EvaluationError
from punie.evaluation.intervals import p_worse
from punie.evaluation.results import (
    RESULTS,
    Result,
    read_results,
    result_line,
    without_words,
)
from punie.evaluation.run_options import RunOptions
from punie.evaluation.run_record import RUN, RunRecord, read_run, write_run
from punie.evaluation.suite import Item, Suite
from punie.training.errors import TrainingError
from punie.training.output import write_text, written_in_words

_LEVEL = 0.05


@dataclass(frozen=True)
class Baseline:
    """A run that later ones are compared with; `results` has one for each item."""

    folder: Path
    record: RunRecord
    results: tuple[Result, ...]

    @property
    def options(self) -> RunOptions:
        """How its run was done; which items it did is what the results tell."""
        kept = RunOptions.model_validate(dict(self.record.options))
        return kept.model_copy(update={"items": (), "limit": None})


@dataclass(frozen=True)
class ChosenItems:
    """Some items of a suite, as a suite of the same name and version."""

    whole: Suite
    chosen: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the whole suite is called."""
        return self.whole.name

    @property
    def version(self) -> int:
        """That of the whole suite."""
        return self.whole.version

    @property
    def about(self) -> str:
        """What the whole suite measures."""
        return self.whole.about

    @property
    def left_out(self) -> str:
        """That of the whole suite."""
        return self.whole.left_out

    def names(self) -> Sequence[str]:
        """Return the names of the chosen items."""
        return self.chosen

    async def item(self, name: str, folder: Path) -> Item:
        """Return an item, as the whole suite does."""
        return await self.whole.item(name, folder)


@dataclass(frozen=True)
class Change:
    """How a run came out beside its baseline.

    Attributes:
        items: how many were compared.
        lost: as `SUITE ITEM`, items of which fewer checks are right than in the baseline.
        gained: likewise, of which more are.
        p: how likely so few of the changed items are gained if nothing got worse.
    """

    items: int
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    p: float

    @property
    def is_worse(self) -> bool:
        """Whether more was lost than chance explains (at 5 %)."""
        return self.p < _LEVEL

    def lines(self) -> list[str]:
        """Return what a person wants to know of it."""
        counts = f"{len(self.lost)} lost and {len(self.gained)} gained of {self.items} items"
        if not self.lost and not self.gained:
            told = f"As in the baseline: each of {self.items} items."
        elif self.is_worse:
            told = f"WORSE than the baseline: {counts}, p = {self.p:.2g}."
        else:
            told = f"Not worse than the baseline, as far as can be told: {counts}, p = {self.p:.2g}"
            told += "."
        return [told, *(f"  lost    {one}" for one in self.lost)] + [
            f"  gained  {one}" for one in self.gained
        ]

    def data(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "items": self.items,
            "lost": list(self.lost),
            "gained": list(self.gained),
            "p": self.p,
            "is_worse": self.is_worse,
        }


def keep_baseline(run: Path, folder: Path) -> None:
    """Write the run in one folder as the baseline in another, in place of what was kept there.

    Raises:
        EvaluationError: the run has several tries at an item, the folder holds something else, or
            it cannot be written.
    """
    record, results = read_run(run), read_results(run / RESULTS)
    _check_tries(run, results)
    if folder.exists() and not (folder / RUN).is_file() and any(folder.iterdir()):
        raise EvaluationError(f"{folder} holds something else than a baseline; name another one.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_run(folder, record)
        write_text(folder / RESULTS, "".join(result_line(without_words(one)) for one in results))
    except OSError as error:
        raise EvaluationError(written_in_words(error, folder)) from error
    except TrainingError as error:
        raise EvaluationError(str(error)) from error


def read_baseline(folder: Path) -> Baseline:
    """Read a baseline, or the folder of any run with one try at each item.

    Raises:
        EvaluationError: it is none, or cannot be read.
    """
    record, results = read_run(folder), read_results(folder / RESULTS)
    _check_tries(folder, results)
    return Baseline(folder, record, tuple(results))


def _check_tries(folder: Path, results: Sequence[Result]) -> None:
    tried = {(one.suite, one.item) for one in results}
    if not tried:
        raise EvaluationError(f"The run in {folder} has no results, so it is no baseline.")
    if len(tried) < len(results):
        raise EvaluationError(
            f"The run in {folder} has several tries at an item; a baseline has one of each."
        )


def suites_again(
    baseline: Baseline, known: Mapping[str, Suite], *, renewed: bool = False
) -> list[Suite]:
    """Return the suites of a baseline, with the items that it did.

    With `renewed` the baseline is only a list of items, and other versions of suites are taken.

    Raises:
        EvaluationError: a suite is another one now, or not there.
    """
    found: list[Suite] = []
    for kept in baseline.record.suites:
        suite = known.get(kept.name)
        if suite is None:
            raise EvaluationError(
                f"There is no suite {kept.name!r}, which the baseline in {baseline.folder} has; "
                f"name its checkout with --checkout, or make another baseline."
            )
        if suite.version != kept.version and not renewed:
            raise _stale(
                baseline, f"has version {kept.version} of {suite.name}, which is {suite.version}"
            )
        chosen = tuple(one.item for one in baseline.results if one.suite == kept.name)
        gone = set(chosen) - set(suite.names())
        if gone:
            raise EvaluationError(
                f"{suite.name} has no item {min(gone)!r} any more, which the baseline in "
                f"{baseline.folder} has; choose suites and items anew, with --keep-baseline."
            )
        found.append(ChosenItems(suite, chosen))
    return found


def check_weights(baseline: Baseline, reference: str, weights: str | None) -> None:
    """Refuse a model that is called as the baseline's and is another one.

    A model of another name is compared, whatever it is: it was asked for.

    Raises:
        EvaluationError: the weights changed.
    """
    kept = baseline.record.model
    if reference == kept.reference and weights != kept.weights:
        raise _stale(baseline, f"is of other weights of {reference} than are here")


def _stale(baseline: Baseline, reason: str) -> EvaluationError:
    folder = baseline.folder
    return EvaluationError(
        f"The baseline in {folder} {reason}; make it anew with "
        f"`punie eval --baseline {folder} --keep-baseline {folder}`."
    )


def changed(baseline: Baseline, results: Iterable[Result]) -> Change:
    """Compare the results of a run with a baseline, on the items that both did.

    Raises:
        EvaluationError: they have none in common.
    """
    before = {(one.suite, one.item): _right(one) for one in baseline.results}
    after = {(one.suite, one.item): _right(one) for one in results}
    shared = [key for key in before if key in after]
    if not shared:
        raise EvaluationError(f"The baseline in {baseline.folder} has none of these items.")
    lost = tuple(" ".join(key) for key in shared if after[key] < before[key])
    gained = tuple(" ".join(key) for key in shared if after[key] > before[key])
    return Change(len(shared), lost, gained, p_worse(len(lost), len(gained)))


def _right(result: Result) -> int:
    return sum(check.strict for check in result.verdict.checks.values())
