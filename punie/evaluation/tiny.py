"""Scores of the bundled model, and its card. Run as `python -m punie.evaluation.tiny`.

`known` wording is that of training, about names and projects that it never shows; `unseen` wording
also takes phrases that it never shows.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from punie.evaluation.card import write_card
from punie.evaluation.outcomes import summarise
from punie.evaluation.results import Result
from punie.evaluation.tasks import TaskOptions, Wording, evaluate_tasks
from punie.models.catalog import bundled_directory
from punie.models.made import made_model
from punie.training.errors import TrainingError
from punie.training.output import written_in_words
from punie.training.process import prepare_process
from punie.training.progress import Progress, Reporter, quiet

_SEED = 90_210
_BUNDLED_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
)
_SHOW_EVERY = 50


def measure(
    model: Path, count: int, seed: int = _SEED, parallel: int = 8, report: Reporter = quiet
) -> tuple[dict[str, Any], list[Result]]:
    """Return the scores of a model as the card takes them, and all results.

    `count` tasks in known wording, half as many in unseen wording.
    """
    scores: dict[str, Any] = {"seed": seed}
    everything: list[Result] = []
    wordings: tuple[tuple[Wording, int], ...] = (("known", count), ("unseen", max(1, count // 2)))
    for wording, tasks in wordings:
        options = TaskOptions(count=tasks, seed=seed, wording=wording, parallel=parallel)
        results = evaluate_tasks(model, options, report=report)
        scores[wording] = summarise(results)
        everything += results
    return scores, everything


def bundle(name: str, folder: Path) -> None:
    """Copy a pipeline's result of this name into a model directory, a file at a time.

    Raises:
        TrainingError: there is no such result, or a file cannot be written.
    """
    made = made_model(name)
    if made is None:
        raise TrainingError(f"No pipeline made a model {name!r}; `punie models list` shows them.")
    try:
        for file in _BUNDLED_FILES:
            shutil.copyfile(made / file, folder / f".{file}")
            (folder / f".{file}").replace(folder / file)
    except OSError as error:
        raise TrainingError(written_in_words(error, folder)) from error


def main() -> None:
    """Command line entry: print the scores as JSON, and write them into the card when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=bundled_directory(), help="a model directory")
    parser.add_argument("--bundle", metavar="NAME", help="first put a pipeline's result in there")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--parallel", type=int, default=8, help="sessions at a time")
    parser.add_argument("--failures", action="store_true", help="print what went wrong")
    parser.add_argument("--card", type=Path, help="the page to write, such as docs/tiny-model.md")
    options = parser.parse_args()
    if options.bundle:
        bundle(options.bundle, options.model)
    prepare_process(threads=1)  # a token's small products gain nothing from more
    scores, results = measure(options.model, options.count, options.seed, options.parallel, _told())
    if options.failures:
        for result in results:
            if not result.solved.strict:
                _show(result)
    print(json.dumps(scores, indent=2))
    if options.card:
        write_card(options.card, options.model, scores)


def _told() -> Reporter:
    console = Console(stderr=True)

    def tell(progress: Progress) -> None:
        if progress.done % _SHOW_EVERY == 0:
            console.print(f"{progress.done:.0f} of {progress.total:.0f} tasks", highlight=False)

    return tell


def _show(result: Result) -> None:
    got = [call.model_dump() for call in result.calls]
    print(f"{result.kind}: {result.messages[0].content!r}")
    print(f"  expected {json.dumps(result.verdict.due)}")
    print(f"  got      {json.dumps([*got, result.messages[-1].content])}")


if __name__ == "__main__":
    main()
