"""Runs suites: a model works on their items as the agent, several at a time on one engine."""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread

from punie.evaluation.errors import EvaluationError
from punie.evaluation.kept import Kept, attempt_of
from punie.evaluation.opened_model import OpenedModel, opened, resolved
from punie.evaluation.places import attempt_folder, run_folder
from punie.evaluation.results import Result
from punie.evaluation.run_options import Attempt, RunOptions, plan
from punie.evaluation.run_record import begun_run
from punie.evaluation.session import work_on
from punie.evaluation.suite import Check, Item, Suite, Verdict
from punie.evaluation.work import Work
from punie.models.options import EngineOptions
from punie.models.streaming import ModelUse, StreamingModel
from punie.training.generator.shards import command_environment
from punie.training.output import output_folder, written_in_words
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

__all__ = ["RunOptions", "run_suites"]

_USUAL = RunOptions()
_ENGINE = EngineOptions()
_MOST_FAILURES = 5
_STOP_SECONDS = 0.2
_JUDGE_SECONDS = 600.0
_NAMED = 3
_PLUGINS = Path(__file__).with_name("pytest_plugins")
"""Has no `__init__.py`: it is a folder of modules for the Python of others, which tell no time."""


async def run_suites(
    model: StreamingModel | str,
    suites: Sequence[Suite],
    options: RunOptions = _USUAL,
    out: Path | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
    engine: EngineOptions = _ENGINE,
    hidden: Sequence[Path] = (),
) -> list[Result]:
    """Let a model do all items of some suites; results come in the order of suites and items.

    `model` is a reference, or a model that is open and stays so. With `out` the results go there as
    JSON lines beside the record of the run, each as soon as it is known, so that the same call goes
    on where it was interrupted. `engine` is how a model is opened. Commands of the model can read
    neither `out` nor what is `hidden`, such as earlier runs, which hold what is due.

    An item that takes too long, whose model fails twice, or that cannot be judged, counts as not
    solved and tells why; after the first failure the model is opened anew. Items that cannot even
    be begun are left out and named in the end, and the same call tries only them again.

    Raises:
        EvaluationError: the model cannot be opened or fails again and again, a suite's files are
            not there, items could not be begun, or the disk is full.
        TrainingError: `out` is there already or cannot be written; `Interrupted` if it was asked to
            stop: what was under way is done anew by the same call.
    """
    attempts = plan(suites, options)
    chosen = resolved(model)
    with _kept_folder(out) as folder:
        model_options = replace(engine, draft_model=options.draft_model)
        async with opened(chosen, model_options) as found:
            kept = await _open_kept(found, suites, attempts, options, folder)
            secret = (*hidden, *([] if folder is None else [folder]))
            run = _Run(found, suites, attempts, options, kept, report, stopped, secret)
            try:
                await run.all()
            except BaseException:
                kept.pause()
                raise
            return kept.finish(attempts, found.now.peak_memory)


@contextmanager
def _kept_folder(out: Path | None) -> Iterator[Path | None]:
    if out is None:
        yield None
        return
    with output_folder(out, keep_unfinished=True) as folder:
        yield folder


async def _open_kept(
    found: OpenedModel,
    suites: Sequence[Suite],
    attempts: Sequence[Attempt],
    options: RunOptions,
    folder: Path | None,
) -> Kept:
    items = Counter(name for name, _ in {(each.suite, each.item) for each in attempts})
    sizes = [(suite, items[suite.name]) for suite in suites]
    plain = options.model_dump(mode="json")

    def begin() -> Kept:
        # Looking at the weights takes its time.
        return Kept.open(folder, begun_run(found.choice, sizes, plain), attempts)

    return await anyio.to_thread.run_sync(begin)


class _Run:
    """A run under way."""

    def __init__(
        self,
        model: OpenedModel,
        suites: Sequence[Suite],
        attempts: Sequence[Attempt],
        options: RunOptions,
        kept: Kept,
        report: Reporter,
        stopped: Stopped,
        hidden: Sequence[Path],
    ) -> None:
        self._model = model
        self._suites = {suite.name: suite for suite in suites}
        self._attempts = attempts
        self._options = options
        self._kept = kept
        self._report = report
        self._stopped = stopped
        self._hidden = hidden
        self._left = iter([each for each in attempts if each not in kept.results])
        self._doubtful: list[Result] = []
        self._not_begun: list[str] = []
        self._trouble: Exception | None = None

    async def all(self) -> None:
        """Do what is left of the run."""
        self._tell()
        left = len(self._attempts) - len(self._kept.results)
        with run_folder() as base, _environment():
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch, group.cancel_scope)
                async with anyio.create_task_group() as workers:
                    for _ in range(min(self._options.parallel, left)):
                        workers.start_soon(self._work, base, group.cancel_scope)
                group.cancel_scope.cancel()
        if self._trouble is not None:
            raise self._trouble
        for result in self._doubtful:
            try:
                self._keep(result)
            except OSError as error:
                raise _named(attempt_of(result), error) from error
        if self._not_begun:
            named = " ".join(self._not_begun[:_NAMED])
            raise EvaluationError(
                f"{len(self._not_begun)} of {len(self._attempts)} could not be begun, the same "
                f"command tries them again: {named}"
            )

    def _tell(self) -> None:
        done, total = len(self._kept.results), len(self._attempts)
        metrics = {"solved": self._kept.solved}
        self._report(Progress("evaluating", done, total, "items", metrics))

    async def _watch(self, scope: anyio.CancelScope) -> None:
        """End everything once the run is to stop."""
        while not self._stopped():
            await anyio.sleep(_STOP_SECONDS)
        goes_on = "" if self._kept.folder is None else "; the same command goes on there"
        done, total = len(self._kept.results), len(self._attempts)
        self._trouble = Interrupted(f"Stopped after {done} of {total} items{goes_on}.")
        scope.cancel()

    async def _work(self, base: Path, scope: anyio.CancelScope) -> None:
        """Do one waiting attempt after the other."""
        for attempt in self._left:
            if self._stopped():
                await anyio.sleep_forever()  # until `_watch` has seen it too
            try:
                await self._do(attempt, attempt_folder(base, *vars(attempt).values()))
            except Exception as error:
                # As it is, and not in the group that the tasks would make of it.
                self._trouble = self._trouble or _named(attempt, error)
                scope.cancel()
                return

    async def _do(self, attempt: Attempt, folder: Path) -> None:
        try:
            result, failed = await self._try(attempt, folder)
        except EvaluationError as error:
            self._not_begun.append(f"{attempt}: {error}")
            return
        if failed:
            self._doubtful.append(result)
            if len(self._doubtful) >= _MOST_FAILURES:
                raise EvaluationError(
                    f"The model failed {len(self._doubtful)} times in a row, at last here: "
                    f"{result.trouble}"
                )
            return
        # The model works, so it was these items that it failed at.
        for each in (*self._doubtful, result):
            self._keep(each)
        self._doubtful.clear()

    def _keep(self, result: Result) -> None:
        self._kept.add(result)
        self._tell()

    async def _try(self, attempt: Attempt, folder: Path) -> tuple[Result, bool]:
        """Do an attempt; tell whether the model failed, the second time too."""
        model = self._model.now
        result, failed = await self._once(attempt, folder, model)
        if failed and await self._model.again(model):
            result, failed = await self._once(attempt, folder, self._model.now)
        return result, failed

    async def _once(
        self, attempt: Attempt, folder: Path, model: StreamingModel
    ) -> tuple[Result, bool]:
        try:
            folder.mkdir()
            item = await self._suites[attempt.suite].item(attempt.item, folder)
            known = [place for place in self._hidden if place.exists()]
            item = replace(item, hidden=(*item.hidden, *known))
            root = folder / "project"
            root.mkdir(parents=True, exist_ok=True)
            await anyio.to_thread.run_sync(item.prepare, root, abandon_on_cancel=True)
            use = ModelUse(
                owner=f"evaluation-{folder.name}", watched=False, guided=self._options.guided
            )
            conditions = self._options.conditions(attempt.sampling_seed)
            work = await work_on(item, model.used_by(use), root, conditions)
            verdict, trouble = await _judged(item, work, root)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_remove, folder)
        return _result(attempt, item, work, verdict, trouble), work.model_failed


@contextmanager
def _environment() -> Iterator[None]:
    """Make commands the same everywhere and every time."""
    with command_environment():
        # The Python of commands is not Punie's own and does not know Punie, but sees its folder.
        os.environ["PYTHONPATH"] = str(_PLUGINS)
        os.environ["PYTEST_PLUGINS"] = "punie_steady"
        yield


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _named(attempt: Attempt, error: Exception) -> Exception:
    """Return an error with the item at which it came."""
    if isinstance(error, OSError):
        full = error.errno == errno.ENOSPC
        where = Path(error.filename or "the results")
        reason = written_in_words(error, where) if full else f"{where}: {error.strerror}."
        named = EvaluationError(f"{attempt}: {reason} The same command goes on there.")
        named.__cause__ = error
        return named
    if isinstance(error, EvaluationError):
        return EvaluationError(f"{attempt}: {error} The same command goes on there.")
    return error


async def _judged(item: Item, work: Work, root: Path) -> tuple[Verdict, str]:
    """Return how an item was done, and what went wrong with it or with judging it."""
    try:
        with anyio.fail_after(_JUDGE_SECONDS):
            verdict = await item.judge(work, root)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        # Those of a suite are sentences for a person: what is broken, or what is not installed.
        is_said = isinstance(error, EvaluationError)
        said = f"{reason}." if is_said else f"It could not be judged: {reason}."
        trouble = work.trouble or said
        return Verdict(checks={"solved": Check.of(False)}, note=trouble), trouble
    if not work.trouble:
        return verdict, ""
    checks = {**verdict.checks, "solved": Check.of(False)}
    return verdict.model_copy(update={"checks": checks, "note": work.trouble}), work.trouble


def _result(attempt: Attempt, item: Item, work: Work, verdict: Verdict, trouble: str) -> Result:
    return Result(
        suite=attempt.suite,
        item=attempt.item,
        kind=item.kind,
        seed=attempt.seed,
        attempt=attempt.number,
        verdict=verdict,
        stop=work.stop,
        malformed=work.malformed,
        not_run=work.not_run,
        cut=work.cut,
        requests=work.requests,
        tokens=work.tokens,
        read_tokens=work.read_tokens,
        peak_memory=work.peak_memory,
        model_failed=work.model_failed,
        trouble=trouble,
        seconds=work.seconds,
        first_token_seconds=work.first_token_seconds,
        messages=work.messages,
    )
