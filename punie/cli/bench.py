"""`punie bench`: how well the engine runs a model on this machine, one line for each figure."""

import json
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from punie.cli.help import run_typed, say
from punie.models.blas import is_blas_in_front, prefer_fast_blas
from punie.models.catalog import ModelChoice, ModelUnavailable, resolve_model, weight_bytes
from punie.models.machine import machine_memory
from punie.models.mlx.bench.rows import Finding, Row, all_hold
from punie.models.mlx.bench.suite import MEASUREMENTS, Measurement, Subject
from punie.models.options import EngineOptions, engine_options
from punie.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from punie.models.mlx.bench.suite import RunTool

_NAMES = ", ".join(measurement.name for measurement in MEASUREMENTS)
Show = Callable[[str], None]
_MARKS = {True: "ok", False: "no", None: "  "}
_BLAS_THREADS = 1
"""More of them wait for each other as soon as the machine does something else."""
_SECOND_COPY = 0.6
"""Part of the free memory that a second process with the same weights may take."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 all limits hold, 1 not so, 2 wrong usage, 130 stopped."""
    return run_typed(bench, arguments, "bench")


def bench(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Model to measure; the set one if left out."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAMES", help=f"Some of: {_NAMES}; with commas.")
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
    chosen = _chosen(only)
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
    if openblas and not (report := prefer_fast_blas(_BLAS_THREADS)).active:
        say(f"OpenBLAS cannot be used: {report.detail}.")
        raise typer.Exit(1)
    # What is kept on disk of earlier sessions stays out of it, and the model awake.
    options = replace(engine_options(settings), prefix_directory=None, idle_seconds=None)
    try:
        findings = anyio.run(_measure, choice, options, chosen, as_json)
    except ModelUnavailable as error:
        say(str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        say("stopped.")
        raise typer.Exit(130) from None
    if not all_hold(findings):
        raise typer.Exit(1)


def _chosen(only: str | None) -> list[Measurement]:
    if only is None:
        return list(MEASUREMENTS)
    names = [name.strip() for name in only.split(",")]
    known = {measurement.name: measurement for measurement in MEASUREMENTS}
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"there is no {name!r}; choose from {_NAMES}.")
    return [known[name] for name in dict.fromkeys(names)]


async def _measure(
    choice: ModelChoice, options: EngineOptions, chosen: Sequence[Measurement], as_json: bool
) -> list[Finding]:
    from punie.models.load import close_models

    found: dict[str, list[Finding]] = {}
    try:
        with _status("loading the model") as say_loading:
            subject = await _open(choice, options, say_loading)
        if not as_json:
            print(choice.title)
        for measurement in chosen:
            with _status(measurement.name, measurement.summary) as show:
                findings = await measurement.run(replace(subject, say=show))
            found[measurement.name] = findings
            if not as_json:
                _show(measurement, findings)
    finally:
        await close_models()
    if as_json:
        rows = [
            {"measurement": name, **finding.as_json()}
            for name, findings in found.items()
            for finding in findings
        ]
        print(json.dumps({"model": choice.id, "rows": rows}, indent=2, ensure_ascii=False))
    return [finding for findings in found.values() for finding in findings]


async def _open(choice: ModelChoice, options: EngineOptions, show: Show) -> Subject:
    from punie.models.load import open_model

    opened = await open_model(choice, options=options)
    # Imported while loading; from here on they cost nothing.
    from punie.agent.toolset import turn_parameters
    from punie.models.mlx.model import MlxModel
    from punie.tools.catalog import ALL_TOOLS

    assert isinstance(opened, MlxModel)
    assert choice.path is not None
    return Subject(
        model=opened,
        path=choice.path,
        parameters=turn_parameters(ALL_TOOLS),
        project=_project,
        say=show,
        fast_blas=sys.platform != "linux" or is_blas_in_front(),
        bundled=choice.source == "bundled",
        fits_twice=weight_bytes(choice.path) < _SECOND_COPY * machine_memory().available,
    )


@asynccontextmanager
async def _project(files: Mapping[str, str]) -> AsyncGenerator["RunTool"]:
    """Make a project in a temporary folder, with the tools that stay inside it."""
    from punie.tools.base import ReadLedger, ToolContext, ToolError
    from punie.tools.catalog import ALL_TOOLS
    from punie.workspace.local import LocalWorkspace

    # What a model under test writes is not run as a command.
    tools = {tool.name: tool for tool in ALL_TOOLS if tool.effect in ("read", "edit")}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        workspace = LocalWorkspace([root])
        context = ToolContext(workspace, ReadLedger())

        async def run(name: str, arguments: Mapping[str, Any]) -> str:
            tool = tools.get(name)
            if tool is None:
                return f"error: {name} cannot be used here"
            try:
                return (await tool.run(context, tool.arguments.model_validate(arguments))).text
            except ValueError as error:
                return f"error: {' '.join(str(error).split())}"
            except ToolError as error:
                return f"error: {error}"

        try:
            yield run
        finally:
            await workspace.aclose()


def _show(measurement: Measurement, findings: Sequence[Finding]) -> None:
    print(f"\n{measurement.name}: {measurement.summary}")
    for finding in findings:
        mark = _MARKS[finding.holds] if isinstance(finding, Row) else " -"
        print(f"{mark} {finding.line()}", flush=True)


@contextmanager
def _status(name: str, summary: str = "") -> Iterator[Show]:
    """Show on stderr what is being done: a line that changes on a terminal, else one line."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{name}: {summary}" if summary else name, file=sys.stderr, flush=True)
        yield lambda _: None
        return
    with console.status(name) as status:
        yield lambda text: status.update(f"{name}: {text}")
