"""The tracker's file: every run with its record, its scores and how each item came out."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from pydantic import ValidationError

from punie.database import Database
from punie.evaluation.errors import EvaluationError
from punie.evaluation.intervals import rate
from punie.evaluation.results import (
    RESULTS,
    Result,
    Score,
    by_kind,
    read_results,
    scores,
    without_words,
)
from punie.evaluation.run_record import RunRecord, read_run
from punie.evaluation.tracker.reported import Reported
from punie.evaluation.tracker.schema import MIGRATIONS
from punie.settings import load_settings

LATEST = "last"
"""What the latest run of all may be called."""
SOLVED = "solved"
ALL_KINDS = ""


@dataclass(frozen=True)
class ScoreKey:
    """What a score is of; `kind` is "" for all kinds of a suite together."""

    suite: str
    kind: str
    check: str


@dataclass(frozen=True)
class Measure:
    """A figure of a suite's items, such as the recall: its mean over `of` tries."""

    suite: str
    name: str
    mean: float
    least: float
    most: float
    of: int


@dataclass(frozen=True)
class TrackedRun:
    """A run with its scores; those of suites as a whole come first, suites as in the record."""

    record: RunRecord
    scores: Mapping[ScoreKey, Score]

    def solved(self, suite: str) -> Score:
        """Return how much of a suite was solved."""
        nothing = Score(strict=rate(0, 0), soft=rate(0, 0))
        return self.scores.get(ScoreKey(suite, ALL_KINDS, SOLVED), nothing)


class Tracker:
    """Runs in the SQLite file at `path`, which is made on first use; processes may share it.

    All methods raise `EvaluationError` with one sentence, after which the tracker may be used on. A
    damaged file is set aside and begun anew, as told by the sentence.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "tracker", MIGRATIONS, EvaluationError)

    def close(self) -> None:
        """Close the file; it is opened again if it is used again."""
        self._database.close()

    def add(self, record: RunRecord, results: Sequence[Result]) -> bool:
        """Keep a run, in place of what is kept of it already; tell whether it is new.

        Raises `EvaluationError` also if record and results do not belong together.
        """
        _check(record, results)
        row = (
            record.id,
            record.model.reference,
            record.model.weights,
            record.model.quantisation,
            record.model.adapter,
            record.model.recipe,
            record.started.timestamp(),
            record.model_dump_json(),
            time.time(),
        )
        kept = [
            (
                record.id,
                place,
                each.suite,
                each.item,
                each.kind,
                without_words(each).model_dump_json(exclude_defaults=True),
            )
            for place, each in enumerate(results)
        ]
        counts = [
            (record.id, key.suite, key.kind, key.check, *_counts(score))
            for key, score in _scored(results).items()
        ]

        def work(db: Connection) -> bool:
            gone = db.execute("DELETE FROM runs WHERE id = ?", (record.id,)).rowcount
            db.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            db.executemany(
                "INSERT INTO suites VALUES (?, ?, ?, ?)",
                [(record.id, one.name, one.version, one.items) for one in record.suites],
            )
            db.executemany("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)", kept)
            db.executemany("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?)", counts)
            return gone == 0

        return self._database.work(work, writes=True)

    def runs(self, references: Iterable[str] = ()) -> list[TrackedRun]:
        """Return all runs, or those of some model references, the latest first."""
        wanted = tuple(references)

        def work(db: Connection) -> list[tuple[str, list[tuple[str, str, str, int, int, int]]]]:
            where = f"WHERE reference IN ({', '.join('?' * len(wanted))})" if wanted else ""
            rows = db.execute(
                f"SELECT id, record FROM runs {where} ORDER BY started DESC, id DESC", wanted
            ).fetchall()
            return [(text, _score_rows(db, run)) for run, text in rows]

        return [
            _tracked(self._record(text), found)
            for text, found in self._database.work(work, writes=False)
        ]

    def run(self, name: str) -> TrackedRun:
        """Return one run by its id, its beginning or end, `last`, or a model (its latest run).

        Raises `EvaluationError` if there is none, or if a part of an id fits several.
        """
        run = self._named(name)

        def work(db: Connection) -> tuple[str, list[tuple[str, str, str, int, int, int]]] | None:
            row = db.execute("SELECT record FROM runs WHERE id = ?", (run,)).fetchone()
            return None if row is None else (row[0], _score_rows(db, run))

        found = self._database.work(work, writes=False)
        if found is None:  # Another process has removed it a moment ago.
            raise EvaluationError(f"There is no run {name!r}; `punie track list` shows all.")
        return _tracked(self._record(found[0]), found[1])

    def results(self, run: str) -> list[Result]:
        """Return how each item of a run came out, without conversations; `run` is its whole id."""

        def work(db: Connection) -> list[str]:
            rows = db.execute("SELECT result FROM results WHERE run = ? ORDER BY place", (run,))
            return [row[0] for row in rows]

        texts = self._database.work(work, writes=False)
        try:
            return [Result.model_validate_json(text) for text in texts]
        except ValidationError as error:
            raise EvaluationError(_newer(run)) from error

    def measures(self, run: str) -> list[Measure]:
        """Return the figures of a run's items, suites in its order; `run` is its whole id."""

        def work(db: Connection) -> list[Measure]:
            rows = db.execute(
                "SELECT suite, key, avg(value), min(value), max(value), count(*) FROM results, "
                "json_each(result, '$.verdict.measures') WHERE run = ? "
                "GROUP BY suite, key ORDER BY min(place), key",
                (run,),
            )
            return [Measure(*row) for row in rows]

        return self._database.work(work, writes=False)

    def remove(self, name: str) -> RunRecord:
        """Remove a run, named as for `run`, and return its record."""
        record = self.run(name).record
        self._database.work(
            lambda db: db.execute("DELETE FROM runs WHERE id = ?", (record.id,)) and None,
            writes=True,
        )
        return record

    def import_reported(self, rows: Sequence[Reported]) -> None:
        """Keep rows that others published, in place of what is kept of the same source."""

        def work(db: Connection) -> None:
            for source in {row.source for row in rows}:
                db.execute("DELETE FROM reported WHERE source = ?", (source,))
            db.executemany(
                "INSERT INTO reported VALUES (?, ?, ?)",
                [(row.source, place, row.model_dump_json()) for place, row in enumerate(rows)],
            )

        self._database.work(work, writes=True)

    def reported(self) -> list[Reported]:
        """Return the rows that others published, source by source."""

        def work(db: Connection) -> list[str]:
            rows = db.execute("SELECT row FROM reported ORDER BY source, place")
            return [row[0] for row in rows]

        texts = self._database.work(work, writes=False)
        try:
            return [Reported.model_validate_json(text) for text in texts]
        except ValidationError as error:
            raise EvaluationError(
                "The reported rows were kept by another version; `punie track import-reported` "
                "brings them in again."
            ) from error

    def _named(self, name: str) -> str:
        def work(db: Connection) -> list[str]:
            latest = "SELECT id FROM runs {} ORDER BY started DESC, id DESC LIMIT 1"
            if name == LATEST:
                rows = db.execute(latest.format("")).fetchall()
            else:
                rows = db.execute("SELECT id FROM runs WHERE id = ?", (name,)).fetchall()
                rows = rows or db.execute(latest.format("WHERE reference = ?"), (name,)).fetchall()
                rows = (
                    rows
                    or db.execute(
                        "SELECT id FROM runs WHERE substr(id, 1, length(?1)) = ?1 "
                        "OR substr(id, -length(?1)) = ?1 ORDER BY id",
                        (name,),
                    ).fetchall()
                )
            return [row[0] for row in rows]

        found = self._database.work(work, writes=False) if name else []
        if len(found) > 1:
            listed = ", ".join(found[:3]) + (" …" if len(found) > 3 else "")
            raise EvaluationError(f"{name!r} fits {len(found)} runs ({listed}); write more of it.")
        if not found:
            raise EvaluationError(f"There is no run {name!r}; `punie track list` shows all.")
        return found[0]

    def _record(self, text: str) -> RunRecord:
        try:
            return RunRecord.model_validate_json(text)
        except ValidationError as error:
            raise EvaluationError(_newer("A run")) from error


def record_run(folder: Path, file: Path | None = None) -> bool:
    """Keep the run in a folder of `punie eval` in the tracker; tell whether it is new there.

    `file` is the tracker's file, by default the one of the settings. Raises `EvaluationError` if
    the run is not complete or cannot be read, and `SettingsError`.
    """
    record = read_run(folder)
    if record.ended is None:
        raise EvaluationError(
            f"The run in {folder} is not complete; the same `punie eval` command goes on with it."
        )
    results = read_results(folder / RESULTS)
    tracker = Tracker(load_settings(Path.cwd()).tracker_file if file is None else file)
    try:
        return tracker.add(record, results)
    finally:
        tracker.close()


def _check(record: RunRecord, results: Sequence[Result]) -> None:
    named = {suite.name for suite in record.suites}
    if len(named) < len(record.suites):
        raise EvaluationError(f"The run {record.id} names a suite twice.")
    seen: set[tuple[str, str, int | None, int]] = set()
    for result in results:
        if result.suite not in named:
            raise EvaluationError(
                f"The run {record.id} holds a result of the suite {result.suite!r}, "
                "which its record does not name."
            )
        key = (result.suite, result.item, result.seed, result.attempt)
        if key in seen:
            raise EvaluationError(
                f"The run {record.id} holds two results of {result.suite} {result.item} "
                f"with seed {result.seed} and attempt {result.attempt}."
            )
        seen.add(key)


def _scored(results: Sequence[Result]) -> dict[ScoreKey, Score]:
    found: dict[ScoreKey, Score] = {}
    for suite in dict.fromkeys(result.suite for result in results):
        chosen = [result for result in results if result.suite == suite]
        for kind, part in {ALL_KINDS: chosen, **by_kind(chosen)}.items():
            found |= {ScoreKey(suite, kind, name): each for name, each in scores(part).items()}
    return found


def _counts(score: Score) -> tuple[int, int, int]:
    return score.strict.hits, score.soft.hits, score.strict.of


def _score_rows(db: Connection, run: str) -> list[tuple[str, str, str, int, int, int]]:
    return db.execute(
        "SELECT suite, kind, name, strict, soft, tries FROM scores WHERE run = ? "
        "ORDER BY suite, kind, name",
        (run,),
    ).fetchall()


def _tracked(record: RunRecord, rows: list[tuple[str, str, str, int, int, int]]) -> TrackedRun:
    order = {suite.name: place for place, suite in enumerate(record.suites)}
    return TrackedRun(
        record,
        {
            ScoreKey(suite, kind, check): Score(strict=rate(strict, of), soft=rate(soft, of))
            for suite, kind, check, strict, soft, of in sorted(
                rows, key=lambda row: (order[row[0]], row[1], row[2] != SOLVED, row[2])
            )
        },
    )


def _newer(what: str) -> str:
    return f"{what} was kept by another version of Punie and cannot be read; add its folder again."
