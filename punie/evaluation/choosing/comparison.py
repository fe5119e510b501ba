"""Models one after the other: their files first, then a short stage, then all of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from punie.evaluation.choosing.candidates import Candidate, LeftOut, look
from punie.evaluation.choosing.deciding import Standing, left_out_of_full
from punie.evaluation.choosing.stage_runs import StageFailed, StageRun, run_stage
from punie.evaluation.choosing.stages import Stage
from punie.models.machine import machine_memory
from punie.settings import Settings
from punie.training.progress import Reporter, Stopped

_GB = 10**9


def compare_models(
    candidates: Sequence[Candidate],
    stages: tuple[Stage, Stage],
    settings: Settings,
    most_seconds: float | None,
    keep: Callable[[StageRun], None],
    report: Reporter,
    stopped: Stopped,
) -> list[Standing]:
    """Let models go through the stages, one model in memory at a time; `keep` gets each run.

    All do the short stage before any does the full one, so that the hours of the full one are
    spent only on models that the best of the short one leaves a chance. The same call goes on
    where it was stopped.

    Raises:
        EvaluationError: the disk is full, or a run that is kept cannot be read.
        Interrupted: it was asked to stop.
    """
    short, full = stages
    limit = None if settings.memory_gb is None else int(settings.memory_gb * _GB)
    standings = []
    for candidate in candidates:
        found = look(candidate, machine_memory(), limit)
        standings.append(Standing(candidate, found, left_out=found.left_out))

    def through(stage: Stage) -> None:
        going = [at for at, each in enumerate(standings) if each.left_out is None]
        for place, at in enumerate(going, 1):
            each = standings[at]
            told = _named(report, f"{each.candidate.name}, {stage.name} ({place} of {len(going)})")
            try:
                run = run_stage(each.candidate, stage, settings, told, stopped)
            except StageFailed as error:
                reason = f"In the {stage.name} stage: {error}"
                standings[at] = replace(each, left_out=LeftOut("failed", reason))
                continue
            keep(run)
            standings[at] = replace(each, short=run) if stage is short else replace(each, full=run)

    through(short)
    out = left_out_of_full(standings, most_seconds)
    standings = [
        replace(each, left_out=each.left_out or out.get(each.candidate.name)) for each in standings
    ]
    if _is_same(short, full):
        return [replace(e, full=e.short) if e.left_out is None else e for e in standings]
    through(full)
    return standings


def _is_same(short: Stage, full: Stage) -> bool:
    """Tell whether the full stage has no item that the short one has not."""
    return short.suites == full.suites and all(
        len(suite.names()) <= (short.options.limit or 0)
        or short.options.limit == full.options.limit
        for suite in short.suites
    )


def _named(report: Reporter, name: str) -> Reporter:
    return lambda progress: report(replace(progress, doing=name))
