"""What the subcommands of `punie dataset` have in common: arguments, and what they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from punie.models.mlx.chat_format import ChatFormat

DatasetFolder = Annotated[
    Path, typer.Argument(metavar="DATASET", help="Folder of a dataset.", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", help="Folder to write; must not exist yet.")]
Part = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only this part, such as train or valid.")
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Model whose tokenizer and template count; weights are not needed."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def chat_format_of(reference: str) -> "ChatFormat":
    """Return the format of a model, which may be a folder without weights.

    Raises `ModelUnavailable`.
    """
    from punie.models.catalog import ModelUnavailable, resolve_model
    from punie.models.mlx.chat_format import ChatFormat

    folder = Path(reference).expanduser()
    if not (folder / "tokenizer.json").is_file():
        choice = resolve_model(reference)
        if choice.path is None or choice.source == "scripted":
            raise ModelUnavailable(f"{choice.id} has no tokenizer on this machine; name a model.")
        folder = choice.path
    return ChatFormat.load(folder)
