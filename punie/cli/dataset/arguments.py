"""What the subcommands of `punie dataset` have in common: arguments, and what they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from punie.models.mlx.chat_format import ChatFormat

Options = TypeVar("Options", bound="BaseModel")

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
Weight = Annotated[
    list[str] | None,
    typer.Option(metavar="FAMILY=N", help="How often a family of tasks; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def options_of(kind: type[Options], given: Mapping[str, object]) -> Options:
    """Return the options of a step, or say which one is wrong and end with exit code 2."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        name = "--" + ".".join(map(str, first["loc"])).replace("_", "-")
        raise typer.BadParameter(f"{name}: {said}" if first["loc"] else said) from None


def weights(given: list[str] | None) -> dict[str, float]:
    """Return weights of families by name, or say which one is none and end with exit code 2."""
    found: dict[str, float] = {}
    for each in given or ():
        name, _, number = each.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise typer.BadParameter(f"{each!r} is not FAMILY=NUMBER") from None
    return found


def folder_of(reference: str) -> Path:
    """Return the folder of a model, which may lack its weights; raise `ModelUnavailable`."""
    from punie.models.catalog import ModelUnavailable, resolve_model

    folder = Path(reference).expanduser()
    if (folder / "tokenizer.json").is_file():
        return folder
    choice = resolve_model(reference)
    if choice.path is None or choice.source == "scripted":
        raise ModelUnavailable(f"{choice.id} has no tokenizer on this machine; name a model.")
    return choice.path


def chat_format_of(reference: str) -> "ChatFormat":
    """Return the format of a model, which may lack its weights; raise `ModelUnavailable`."""
    from punie.models.mlx.chat_format import ChatFormat

    return ChatFormat.load(folder_of(reference))
