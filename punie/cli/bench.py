"""`punie bench`: how well the engine runs a model on this machine, one line for each figure."""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import anyio
import typer

from punie.cli.bench_against import Server, compare, server_of
from punie.cli.bench_report import Report, status
from punie.cli.bench_subject import open_subject
from punie.cli.help import run_typed, say
from punie.models.blas import prefer_fast_blas
from punie.models.catalog import ModelChoice, ModelUnavailable, resolve_model
from punie.models.mlx.bench.rows import BenchError, Finding, all_hold
from punie.models.mlx.bench.suite import COMPARISONS, MEASUREMENTS, Measurement
from punie.models.options import EngineOptions, engine_options
from punie.settings import SettingsError, load_settings

_BLAS_THREADS = 1
"""More of them wait for each other as soon as the machine does something else."""


def _names(measurements: Sequence[Measurement]) -> str:
    return ", ".join(measurement.name for measurement in measurements)


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 all limits hold, 1 not so, 2 wrong usage, 130 stopped."""
    return run_typed(bench, arguments, "bench")


def bench(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Model to measure; the set one if left out."),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help=f"Some of: {_names(MEASUREMENTS)}; with --against some of: "
            f"{_names(COMPARISONS)}; with commas.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="SERVER",
            help="Compare with mlx_lm.server (say mlx-lm), or with an OpenAI-compatible server "
            "that runs (http://HOST:PORT/v1#MODEL).",
        ),
    ] = None,
    openblas: Annotated[
        bool,
        typer.Option(
            "--openblas", help="Linux: put OpenBLAS before MLX's own BLAS; needs punie[training]."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Measure the engine with a model on this machine, in minutes; close other programs first."""
    chosen = _chosen(only, MEASUREMENTS if against is None else COMPARISONS)
    server = None if against is None else server_of(against)
    try:
        settings = load_settings(Path.cwd(), model=model)
        choice = resolve_model(settings.model)
    except (SettingsError, ModelUnavailable) as error:
        say(str(error))
        raise typer.Exit(1) from None
    if choice.path is None or choice.source == "scripted":
        what = "on a server" if choice.source == "endpoint" else "a script for tests"
        say(f"{choice.id} is {what}; choose a model.")
        raise typer.Exit(1)
    environment = _put_openblas_in_front() if openblas else {}
    # What is kept on disk of earlier sessions stays out of it, and the model awake.
    options = replace(engine_options(settings), prefix_directory=None, idle_seconds=None)
    _let_all_ends_be_ctrl_c()
    run = _Run(choice, options, chosen, environment, server, settings.openai_key_file, as_json)
    try:
        findings = anyio.run(_measure, run)
    except (ModelUnavailable, BenchError) as error:
        sentence = str(error).removesuffix(".")
        say(f"{sentence[:1].upper()}{sentence[1:]}.")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        say("stopped.")
        raise typer.Exit(130) from None
    if not all_hold(findings):
        raise typer.Exit(1)


def _chosen(only: str | None, offered: Sequence[Measurement]) -> list[Measurement]:
    if only is None:
        return list(offered)
    names = [name.strip() for name in only.split(",")]
    known = {measurement.name: measurement for measurement in offered}
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"there is no {name!r} here; choose from {_names(offered)}.")
    return [known[name] for name in dict.fromkeys(names)]


def _put_openblas_in_front() -> dict[str, str]:
    """Do it for this process; return what does it for its children."""
    report = prefer_fast_blas(_BLAS_THREADS)
    if not report.active:
        say(f"OpenBLAS cannot be used: {report.detail}.")
        raise typer.Exit(1)
    preloaded = [str(report.library), *os.environ.get("LD_PRELOAD", "").split()]
    return {"LD_PRELOAD": " ".join(preloaded)}


def _let_all_ends_be_ctrl_c() -> None:
    """Treat a request to end, and a terminal that is closed, as a Ctrl-C, which cleans up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


@dataclass(frozen=True)
class _Run:
    """What is asked for; `environment` is for processes that are started besides."""

    choice: ModelChoice
    options: EngineOptions
    chosen: Sequence[Measurement]
    environment: Mapping[str, str]
    server: Server | None
    key_file: Path | None
    as_json: bool


async def _measure(run: _Run) -> list[Finding]:
    from punie.models.load import close_models

    report = Report(run.as_json)
    target = None if run.server is None else await run.server.reached(run.key_file)
    try:
        with status("loading the model") as show:
            subject = await open_subject(run.choice, run.options, run.environment, show)
        if target is not None:
            return await compare(report, run.choice, subject, target, run.chosen)
        report.begin(run.choice.title)
        for measurement in run.chosen:
            with status(measurement.name, measurement.summary) as show:
                findings = await measurement.run(replace(subject, say=show))
            report.add(measurement, findings)
    finally:
        await close_models()
    return report.end(model=run.choice.id)
