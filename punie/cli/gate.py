"""`punie gate`: whether what one step of training made is good enough for the next one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.dataset.arguments import (
    DatasetFolder,
    Json,
    Model,
    chat_format_of,
    folder_of,
    options_of,
)
from punie.cli.help import run_group
from punie.cli.steps import step

if TYPE_CHECKING:
    from punie.training.gates.report import GateReport

_Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model's folder, organisation/name or punie-tiny.")
]
_Share = typer.Option(metavar="SHARE", help="From 0 to 1.")


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 passed, 1 failed, 2 wrong usage, 130 stopped."""
    commands: dict[str, Callable[..., None]] = {
        "zero": zero,
        "data": data,
        "training": training,
        "conversion": conversion,
        "serving": serving,
    }
    summary = "Check what one step of training made before the next one starts."
    return run_group(commands, arguments, "gate", summary)


def zero(model: _Model, as_json: Json = False) -> None:
    """Check a model's config, tokenizer and chat template; needs no weights."""
    with step():
        from punie.training.gates.zero import gate_zero

        found = gate_zero(_folder(model))
        _tell(found, as_json, model)


def data(
    dataset: DatasetFolder,
    model: Model = None,
    least_examples: Annotated[int, typer.Option(metavar="N", help="Examples to learn from.")] = 1,
    least_direct: Annotated[float, _Share] = 0.2,
    most_direct: Annotated[float, _Share] = 0.4,
    most_of_one_tool: Annotated[float, _Share] = 0.6,
    most_leaks: Annotated[int, typer.Option(metavar="N", help="Examples given away.")] = 0,
    most_unexecuted: Annotated[
        int, typer.Option(metavar="N", help="Examples with results that no tool returned.")
    ] = 0,
    window: Annotated[
        int | None, typer.Option(metavar="TOKENS", help="The model's own if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a dataset: form, balance, leaks, executed results, and with --model lengths."""
    with step() as (report, stopped):
        from punie.models.architecture import context_window
        from punie.models.catalog import read_json_object
        from punie.training.gates.data import DataLimits, data_gate

        limits = options_of(
            DataLimits,
            {
                "least_examples": least_examples,
                "least_direct": least_direct,
                "most_direct": most_direct,
                "most_of_one_tool": most_of_one_tool,
                "most_leaks": most_leaks,
                "most_unexecuted": most_unexecuted,
                "window": window,
            },
        )
        chat_format, own_window = None, None
        if model is not None:
            chat_format = chat_format_of(model)
            own_window = context_window(read_json_object(folder_of(model) / "config.json"))
        found = data_gate(dataset, limits, chat_format, own_window, report, stopped)
        _tell(found, as_json)


def training(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model that was trained.")],
    run: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `punie train` wrote.")],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="What it learned from.")],
    part: Annotated[str, typer.Option(metavar="NAME", help="What is measured.")] = "valid",
    examples: Annotated[int, typer.Option(metavar="N", help="Examples of it at most.")] = 200,
    least_direct: Annotated[
        int, typer.Option(metavar="N", help="Examples without a call that there must be.")
    ] = 5,
    most_lost: Annotated[float, _Share] = 0.05,
    most_loss: Annotated[
        float, typer.Option(metavar="NATS", help="Rise of the loss of direct answers.")
    ] = 0.1,
    as_json: Json = False,
) -> None:
    """Check what training made: numbers, something learned, direct answers not forgotten."""
    with step() as (report, stopped):
        from punie.training.process import prepare_process

        prepare_process()
        from punie.training.gates.training import TrainingLimits, training_gate
        from punie.training.local_model import local_model

        limits = options_of(
            TrainingLimits,
            {
                "part": part,
                "examples": examples,
                "least_direct": least_direct,
                "most_lost": most_lost,
                "most_loss": most_loss,
            },
        )
        found = training_gate(local_model(model), run, dataset, limits, report, stopped)
        _tell(found, as_json, str(run))


def conversion(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="The model before.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="The folder of the new one.")],
    dataset: Annotated[
        Path, typer.Option(metavar="DATASET", help="Examples whose answers are compared.")
    ],
    adapter: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The adapter, if one was fused.")
    ] = None,
    agreement: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Least share of the same tokens.")
    ] = None,
    divergence: Annotated[
        float | None, typer.Option(metavar="NATS", help="Largest mean divergence.")
    ] = None,
    perplexity_ratio: Annotated[
        float | None, typer.Option(metavar="RATIO", help="Largest ratio, after to before.")
    ] = None,
    examples: Annotated[int, typer.Option(metavar="N", help="Examples that are compared.")] = 32,
    as_json: Json = False,
) -> None:
    """Check a fused or quantised model against the one that it was made of."""
    with step() as (report, stopped):
        from punie.training.process import prepare_process

        prepare_process()
        from punie.training.gates.conversion import ConversionLimits, conversion_gate
        from punie.training.local_model import local_model

        limits = options_of(
            ConversionLimits,
            {
                "agreement": agreement,
                "divergence": divergence,
                "perplexity_ratio": perplexity_ratio,
                "examples": examples,
            },
        )
        found = conversion_gate(
            local_model(before), after, dataset, limits, report, stopped, adapter=adapter
        )
        _tell(found, as_json, str(after))


def serving(
    model: _Model,
    base: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A model that it may not be worse than.")
    ] = None,
    draft: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A draft model that is to serve along.")
    ] = None,
    tasks: Annotated[int, typer.Option(metavar="N", help="Held-out tasks to solve.")] = 40,
    direct: Annotated[int, typer.Option(metavar="N", help="Questions that need no tool.")] = 12,
    seed: Annotated[int, typer.Option(metavar="N", help="Which tasks.")] = 4_711,
    preset: Annotated[str, typer.Option(metavar="NAME", help="The mix of tasks.")] = "tiny",
    least_tool: Annotated[float, _Share] = 0.7,
    least_solved: Annotated[float, _Share] = 0.4,
    least_direct: Annotated[float, _Share] = 0.7,
    most_malformed: Annotated[float, _Share] = 0.05,
    most_unended: Annotated[float, _Share] = 0.05,
    most_repeating: Annotated[float, _Share] = 0.05,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Of one answer; by the mix if left out.")
    ] = None,
    parallel: Annotated[int, typer.Option(metavar="N", help="Sessions at a time.")] = 8,
    as_json: Json = False,
) -> None:
    """Let a model work as the agent on held-out tasks, with the grammar and without."""
    with step() as (report, stopped):
        from punie.training.process import prepare_process

        prepare_process(threads=1)  # a token's small products gain nothing from more
        from punie.training.gates.serving import ServingLimits, serving_gate
        from punie.training.local_model import local_model

        limits = options_of(
            ServingLimits,
            {
                "tasks": tasks,
                "direct": direct,
                "seed": seed,
                "preset": preset,
                "least_tool": least_tool,
                "least_solved": least_solved,
                "least_direct": least_direct,
                "most_malformed": most_malformed,
                "most_unended": most_unended,
                "most_repeating": most_repeating,
                "max_tokens": max_tokens,
                "parallel": parallel,
                "draft_model": draft,
            },
        )
        known = None if base is None else local_model(base)
        found = serving_gate(local_model(model), limits, known, report, stopped)
        _tell(found, as_json, model)


def _folder(reference: str) -> Path:
    """Return where a model lies, whole or not; raise `ModelUnavailable`."""
    folder = Path(reference).expanduser()
    return folder.resolve() if folder.is_dir() else folder_of(reference)


def _tell(found: "GateReport", as_json: bool, model: str | None = None) -> None:
    """Print a report, keep it in the model's folder if a folder was named, and end with 1 if so.

    A model that is named otherwise lies where others look after it.
    """
    print(found.model_dump_json(indent=2) if as_json else "\n".join(found.lines()))
    if model is not None and (folder := Path(model).expanduser()).is_dir():
        from punie.training.provenance import record_gate

        record_gate(folder, found)
    if not found.passed:
        raise typer.Exit(1)
