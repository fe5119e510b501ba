"""Making a dataset by letting teachers do generated tasks with the real tools.

The parts "valid" and "test" act on projects of their own, with names that training never shows, and
have neither a query nor a near duplicate in common with what is made after them.
"""

import json
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from punie.training.data.dataset import Dataset, Manifest, example_line, read_examples, write_files
from punie.training.data.example import Example
from punie.training.data.prefixes import prompt_prefix
from punie.training.errors import TrainingError
from punie.training.generator.phrasing import PartName
from punie.training.generator.presets import Mix, changed_preset
from punie.training.generator.shards import Job, make_shard, offered_tools
from punie.training.hashing import value_hash
from punie.training.output import output_folder, write_text
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

_SHARD_EXAMPLES = 100
_WAIT_SECONDS = 0.2
_ORDER: tuple[PartName, ...] = ("test", "valid", "train")
"""Parts in the order in which they are made: none has what one before it has."""


class GenerateOptions(BaseModel):
    """What is generated; equal options make equal datasets, byte for byte on one machine.

    Attributes:
        preset: which mix, see `presets.toml`.
        train, valid, test: examples of each part; a part of none is left out.
        seed: where randomness begins.
        direct: share of examples that are answered without a tool; None for that of the preset.
        weights: how often which family of tasks, in place of what the preset says; 0 for never.
        code: share of examples in code mode; None for that of the preset.
        wording: whether requests are worded as training knows it, or as it never does.
        result_chars: characters of a result that the model reads; None for those of the preset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = "coder"
    train: int = Field(default=2000, ge=0)
    valid: int = Field(default=200, ge=0)
    test: int = Field(default=200, ge=0)
    seed: int = 1
    direct: float | None = Field(default=None, ge=0, le=1)
    code: float | None = Field(default=None, ge=0, le=1)
    weights: dict[str, float] = Field(default_factory=dict)
    wording: Literal["known", "held_out"] = "known"
    result_chars: int | None = Field(default=None, ge=400)

    def mix(self) -> Mix:
        """Return what is mixed.

        Raises:
            TrainingError: there is no such preset or family, or nothing to mix.
        """
        return changed_preset(
            self.preset,
            self.weights,
            direct=self.direct,
            code=self.code,
            result_chars=self.result_chars,
        )


def generate(
    options: GenerateOptions,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    workers: int | None = None,
) -> Dataset:
    """Generate a dataset; the same call goes on after a stop.

    Examples whose outcome is not what is due are dropped and counted in the recipe.

    Args:
        options: they decide the result.
        out: the dataset's folder.
        report: told of progress.
        stopped: asked between shards.
        workers: processes at a time, one for each processor if None; they do not change the result.

    Raises:
        TrainingError: the options do not fit each other, or `out` exists or cannot be written.
        Interrupted: `stopped()`.
    """
    mix = options.mix()
    if not options.train + options.valid + options.test:
        raise TrainingError("No example is asked for; give a part at least one.")
    _check_programs(mix)
    codes = [code for code, share in ((False, 1 - mix.code), (True, mix.code)) if share]
    prefixes = {each.id: each for each in (prompt_prefix(offered_tools(code=c)) for c in codes)}
    key = value_hash([options.model_dump(), mix.model_dump(), list(prefixes)])
    with output_folder(out, keep_unfinished=True) as folder:
        shards = folder / f"shards-{key[:16]}"
        shards.mkdir(exist_ok=True)
        dropped: Counter[str] = Counter()
        made: dict[str, Path] = {}
        counts = {part: getattr(options, part) for part in _ORDER}
        with _Workers(workers or os.cpu_count() or 1) as pool:
            done = 0
            for part in _ORDER:
                if not counts[part]:
                    continue
                jobs = _jobs(options, mix, part, counts[part], tuple(made.values()))
                files = [shards / f"{part}-{job.number:05}.jsonl" for job in jobs]
                for finished in pool.run(list(zip(jobs, files, strict=True)), stopped):
                    done += finished
                    report(Progress("generating", done, sum(counts.values()), "examples"))
                made[part] = shards / f"{part}.jsonl"
                dropped += _put_together(files, made[part])
        recipe = options.model_dump(mode="json")
        manifest = Manifest(
            made_by="generate",
            recipe={**recipe, "mix": mix.model_dump(mode="json"), "dropped": dict(dropped)},
            seed=options.seed,
            prefixes=prefixes,
        )
        parts: dict[str, Iterator[Example]] = {
            part: read_examples(made[part]) for part in reversed(_ORDER) if part in made
        }
        whole = write_files(folder, manifest, parts)
        for left in folder.glob("shards-*"):
            for file in left.iterdir():
                file.unlink()
            left.rmdir()
    return Dataset(out, whole)


def _check_programs(mix: Mix) -> None:
    """Raise `TrainingError` if the families need something that is not installed."""
    from importlib.util import find_spec

    if any("test" in name for name in mix.tool_weights) and find_spec("pytest") is None:
        raise TrainingError(
            "Some tasks run tests, which needs pytest beside Punie: install it, or give "
            "`run_tests` no weight."
        )


def _jobs(
    options: GenerateOptions, mix: Mix, part: PartName, count: int, apart_from: tuple[Path, ...]
) -> list[Job]:
    """Return the jobs of a part, with direct answers spread evenly over them."""
    slots = _slots(mix, count)
    return [
        Job(
            mix=mix,
            part=part,
            number=number,
            seed=options.seed,
            slots=tuple(slots[start : start + _SHARD_EXAMPLES]),
            held_out_words=options.wording == "held_out",
            apart_from=apart_from,
        )
        for number, start in enumerate(range(0, count, _SHARD_EXAMPLES))
    ]


def _slots(mix: Mix, count: int) -> list[tuple[bool, bool]]:
    """Return for each example whether it is direct and whether in code mode, in equal spread."""
    found: list[tuple[bool, bool]] = []
    seen = [0, 0]
    for i in range(count):
        direct = int((i + 1) * mix.direct) > int(i * mix.direct)
        n = seen[direct]
        seen[direct] += 1
        found.append((direct, int((n + 1) * mix.code) > int(n * mix.code)))
    return found


def write_shard(job: Job, file: Path) -> int:
    """Make a shard and write it; return how many examples it has."""
    shard = make_shard(job)
    lines = [json.dumps(dict(sorted(shard.dropped.items()))) + "\n"]
    lines += [example_line(example) for example in shard.examples]
    write_text(file, "".join(lines))
    return len(shard.examples)


def _put_together(files: Iterable[Path], out: Path) -> Counter[str]:
    """Write the examples of all shards into one file; return what was dropped."""
    dropped: Counter[str] = Counter()
    with out.open("wb") as whole:
        for file in files:
            with file.open("rb") as lines:
                dropped.update(json.loads(next(lines)))
                whole.writelines(lines)
    return dropped


class _Workers:
    """Runs jobs in processes, or in this one if it is to be one."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, jobs: list[tuple[Job, Path]], stopped: Stopped) -> Iterator[int]:
        """Do the jobs whose files are not there yet; yield how many examples each has.

        Raises:
            TrainingError: a job cannot be done.
            Interrupted: `stopped()`.
        """
        waiting = [(job, file) for job, file in jobs if not file.is_file()]
        yield from (len(job.slots) for job, file in jobs if file.is_file())
        if self._count == 1 or len(waiting) == 1:
            for job, file in waiting:
                _check(stopped)
                yield write_shard(job, file)
            return
        if self._pool is None and waiting:
            self._pool = ProcessPoolExecutor(
                self._count, multiprocessing.get_context("spawn"), _leave_signals_to_parent
            )
        assert self._pool is not None or not waiting
        open_jobs: set[Future[int]] = (
            {self._pool.submit(write_shard, job, file) for job, file in waiting}
            if self._pool is not None
            else set()
        )
        while open_jobs:
            _check(stopped)
            done, open_jobs = wait(open_jobs, _WAIT_SECONDS, "FIRST_COMPLETED")
            for job_done in done:
                try:
                    yield job_done.result()
                except BrokenProcessPool as error:
                    raise TrainingError(
                        "A process of the generator was ended from outside, perhaps for want of "
                        "memory; give the same command again to go on."
                    ) from error


def _check(stopped: Stopped) -> None:
    if stopped():
        raise Interrupted("Stopped; what was made is kept, the same command goes on from there.")


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
