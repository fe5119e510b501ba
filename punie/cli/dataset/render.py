"""`punie dataset render`: what a model reads and learns, as ids or as text."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.dataset.arguments import DatasetFolder, chat_format_of, folder_of
from punie.cli.terminal import printable
from punie.tools.wording import count

if TYPE_CHECKING:
    from punie.models.mlx.chat_format import ChatFormat
    from punie.training.data.sequences import TrainingSequence


def render(
    dataset: DatasetFolder,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="Model that is to learn; weights are not needed.")
    ],
    example: Annotated[
        str | None, typer.Option(metavar="EXAMPLE", help="PART:LINE, LINE, or letters of an id.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the ids of that example.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write the ids of all examples to.")
    ] = None,
) -> None:
    """Show what a model learns.

    One example as the model reads and writes it, or the token ids of all of them.
    """
    from punie.cli.steps import step
    from punie.training.data.rendering import render_dataset

    if (example is None) == (out is None):
        raise typer.BadParameter("name an --example to see, or --out to write all of them.")
    with step() as (report, stopped):
        folder = folder_of(model)
        if out is not None:
            written = render_dataset(dataset, folder, out, report, stopped)
            for name, part in written.manifest.parts.items():
                print(f"{name}: {count(part.examples, 'sequence')}")
            return
        chat_format = chat_format_of(model)
        for number, sequence in enumerate(_wanted(dataset, folder, chat_format, str(example)), 1):
            learned = sum(sequence.learned)
            print(f"sequence {number}: {len(sequence.ids)} tokens, {learned} of them learned")
            if ids:
                print(" ".join(map(str, sequence.ids)))
            else:
                print(_marked(chat_format, sequence))


def _wanted(
    dataset: Path, folder: Path, chat_format: "ChatFormat", example: str
) -> "Iterator[TrainingSequence]":
    from punie.training.data.dataset import open_dataset
    from punie.training.data.finding import find_example
    from punie.training.data.rendering import is_rendered, open_rendered
    from punie.training.data.sequences import training_sequences
    from punie.training.errors import TrainingError

    if not is_rendered(dataset):
        opened = open_dataset(dataset)
        found = find_example(opened, example)[2]
        yield from training_sequences(chat_format, found, opened.prefix(found))
        return
    rendered = open_rendered(dataset, folder)
    part, colon, line = example.rpartition(":")
    part = part or next(iter(rendered.manifest.parts))
    for number, (name, sequence) in enumerate(rendered.sequences(part), 1):
        if (line.isdecimal() and number == int(line)) or (not colon and name.startswith(example)):
            yield sequence
            return
    raise TrainingError(f"{dataset} has no sequence {example}; write PART:LINE, such as train:12.")


def _marked(chat_format: "ChatFormat", sequence: "TrainingSequence") -> str:
    """Return the text, with what is learned in green or, where there are no colours, in ⟦ ⟧."""
    from punie.training.data.rendering import pieces

    begin, end = ("\x1b[32m", "\x1b[0m") if sys.stdout.isatty() else ("⟦", "⟧")
    return "".join(
        f"{begin}{printable(text)}{end}" if learned else printable(text)
        for text, learned in pieces(chat_format, sequence)
    )
