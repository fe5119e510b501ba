"""`punie dataset filter`: examples that nobody should learn from are left out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.dataset.arguments import DatasetFolder, Model, Out, folder_of, options_of
from punie.cli.terminal import printable
from punie.tools.wording import count

if TYPE_CHECKING:
    from punie.training.data.filtering import Dropped

_Share = Annotated[float | None, typer.Option(min=0, max=1, help="Share of letters not Latin.")]


def filter_(
    dataset: DatasetFolder,
    out: Out,
    most_non_latin: _Share = None,
    script: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SHARE", help="Most of one script, such as CJK=0."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Python that must read the code: 3.11.")
    ] = None,
    old_idioms: Annotated[
        bool, typer.Option("--old-idioms", help="With --python: keep what is right but old.")
    ] = False,
    least_messages: Annotated[int, typer.Option(min=0, help="Messages to have.")] = 0,
    least_characters: Annotated[int, typer.Option(min=0, help="Length of the last answer.")] = 0,
    answered: Annotated[bool, typer.Option("--answered", help="Ends with an answer.")] = False,
    executed: Annotated[bool, typer.Option("--executed", help="Its tools really ran.")] = False,
    checked: Annotated[
        bool, typer.Option("--checked", help="Its outcome is known to be right.")
    ] = False,
    task: Annotated[list[str] | None, typer.Option(help="Only this kind; may be repeated.")] = None,
    longest: Annotated[
        int | None, typer.Option(min=1, help="Tokens to have at most; needs --model.")
    ] = None,
    model: Model = None,
    duplicates: Annotated[
        str, typer.Option(metavar="HOW", help="exact: left out; near: like ones too; keep.")
    ] = "exact",
    near: Annotated[
        float, typer.Option(help="Likeness from which they are near duplicates.")
    ] = 0.8,
    list_: Annotated[bool, typer.Option("--list", help="Print each that is left out.")] = False,
) -> None:
    """Leave out examples, each with its reason.

    By language, Python version, quality and likeness.
    """
    from punie.cli.steps import step
    from punie.training.data.filtering import FilterOptions, dropped_of, filter_dataset

    given: dict[str, object] = {
        "most_non_latin": most_non_latin,
        "scripts": dict(map(_script, script or ())),
        "python": python,
        "least_messages": least_messages,
        "least_characters": least_characters,
        "answered": answered,
        "executed": executed,
        "checked": checked,
        "tasks": task or (),
        "longest": longest,
        "duplicates": duplicates,
        "near": near,
    }
    if old_idioms:
        given["idioms"] = ()
    options = options_of(FilterOptions, given)
    with step() as (report, stopped):
        folder: Path | None = None if model is None else folder_of(model)
        written = filter_dataset(options, dataset, out, folder, report, stopped)
        dropped = dropped_of(written)
    if list_:
        for each in dropped:
            print(printable(f"{each.part}.jsonl line {each.line}: {each.reason}, {each.detail}"))
    _tell(sum(part.examples for part in written.manifest.parts.values()), dropped)


def _tell(kept: int, dropped: "Sequence[Dropped]") -> None:
    from punie.training.data.filtering import counted

    print(f"{count(kept, 'example')} kept, {len(dropped)} left out")
    for reason, number in counted(dropped).items():
        print(f"  {reason}: {number}")


def _script(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name.upper(), float(share)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not NAME=SHARE, such as CJK=0.") from None
