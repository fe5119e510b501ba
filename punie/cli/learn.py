"""`punie learn`: what the user's own sessions teach; seen, and deleted for good."""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from punie.cli.help import run_group, say
from punie.cli.settings import settings_for
from punie.cli.steps import step

if TYPE_CHECKING:
    from punie.settings import Settings
    from punie.training.data.example import Example
    from punie.training.data.from_sessions import Collected, FromSessionsOptions
    from punie.training.learning.deleting import Deletion

_Project = Annotated[
    list[Path] | None,
    typer.Option("--project", help="Only sessions in this folder; may be given more than once."),
]
_Without = Annotated[
    list[Path] | None, typer.Option("--without-project", help="No sessions in this folder.")
]
_Since = Annotated[
    datetime | None, typer.Option("--since", help="Only sessions used since then (a date).")
]
_StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Folder of sessions and logs.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of an example, or how it begins.")]
_Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID...", help="Ids of examples, or how they begin.")
]
_All = Annotated[bool, typer.Option("--all", help="Every example there is.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 stopped."""
    commands: dict[str, Callable[..., None]] = {
        "list": list_examples,
        "show": show,
        "delete": delete,
        "status": status,
    }
    return run_group(
        commands, arguments, "learn", "See what your own sessions would teach, and delete it."
    )


def list_examples(
    project: _Project = None,
    without_project: _Without = None,
    since: _Since = None,
    state_dir: _StateDir = None,
) -> None:
    """List what there is to learn from, and what was left out and why."""
    from punie.cli.terminal import printable
    from punie.training.learning.shown import example_row

    settings = settings_for(state_dir=state_dir)
    found = _look(settings, _selection(project, without_project, since))
    for name, example in found.examples.items():
        print(printable(example_row(example, found.origins[name])))
    _tell_left_out(found)


def show(example: _Id, state_dir: _StateDir = None) -> None:
    """Show an example whole, as it would be learned; lines with a bar are only context."""
    from punie.cli.terminal import printable
    from punie.training.learning.shown import example_lines

    settings = settings_for(state_dir=state_dir)
    known = _known(settings, _look_if_allowed(settings))
    (wanted,) = _named(known, [example])
    print("\n".join(map(printable, example_lines(known[wanted]))))


def delete(
    examples: _Ids = None, every: _All = False, yes: _Yes = False, state_dir: _StateDir = None
) -> None:
    """Delete examples for good, and what was learned from them; the sessions stay."""
    from punie.tools.wording import count
    from punie.training.learning.deleting import delete_examples, plan_deletion
    from punie.training.learning.ledger import learning_folder

    if every == bool(examples):
        say("name examples, or all of them with --all.")
        raise typer.Exit(2)
    settings = settings_for(state_dir=state_dir)
    folder = learning_folder(settings)
    found = _look_if_allowed(settings)
    known = _known(settings, found)
    wanted = [*known] if every else _named(known, examples or [])
    with step():
        plan = plan_deletion(folder, found, wanted)
        if not plan.examples:
            print("There is no example to delete.")
            return
        _agree(plan, yes=yes)
        deleted = delete_examples(folder, plan)
    print(f"{count(deleted.examples, 'example')} deleted.")
    for run, removed in deleted.removed.items():
        print(f"{run} is deleted with its examples and {count(len(removed), 'step')} made of them.")


def status(state_dir: _StateDir = None) -> None:
    """Tell whether learning is allowed, what there is to learn, and what was learned."""
    from punie.settings import user_settings_file
    from punie.tools.wording import count
    from punie.training.learning.ledger import learning_folder, read_ledger
    from punie.training.learning.runs import read_runs

    settings = settings_for(state_dir=state_dir)
    folder = learning_folder(settings)
    if settings.learn_from_sessions:
        found = _look(settings, _selection())
        print(f"{count(len(found.examples), 'example')} in your sessions.")
        _tell_left_out(found)
    else:
        print(
            "Nothing is taken from your sessions; `learn_from_sessions = true` in "
            f"{user_settings_file()} allows it."
        )
    with step():
        deleted = len(read_ledger(folder).deleted)
    if deleted:
        print(f"{count(deleted, 'turn')} deleted; they are never taken again.")
    for run in read_runs(folder):
        when = datetime.fromtimestamp(run.started).astimezone().strftime("%Y-%m-%d %H:%M")
        why = f": {run.sentence}" if run.sentence else ""
        print(f"{run.name}  {when}  {count(run.examples, 'example')}  {run.state}{why}")


def _selection(
    project: list[Path] | None = None,
    without_project: list[Path] | None = None,
    since: datetime | None = None,
) -> "FromSessionsOptions":
    from punie.training.data.from_sessions import FromSessionsOptions

    return FromSessionsOptions(
        include=tuple(folder.expanduser().absolute() for folder in project or ()),
        exclude=tuple(folder.expanduser().absolute() for folder in without_project or ()),
        since=since,
    )


def _look(settings: "Settings", options: "FromSessionsOptions") -> "Collected":
    from punie.training.learning.ledger import look

    with step() as (report, stopped):
        return look(options, settings, report, stopped)


def _look_if_allowed(settings: "Settings") -> "Collected":
    """Return what there is to learn from; nothing if it is not allowed any more."""
    from punie.training.data.from_sessions import Collected

    return _look(settings, _selection()) if settings.learn_from_sessions else Collected()


def _tell_left_out(found: "Collected") -> None:
    for reason, number in found.dropped.most_common():
        print(f"  left out, {reason}: {number}")


def _known(settings: "Settings", found: "Collected") -> "dict[str, Example]":
    """Return all examples by id: those that there are now, and those of earlier runs."""
    from punie.training.data.dataset import WHOLE
    from punie.training.learning.ledger import learning_folder
    from punie.training.learning.runs import kept_examples, read_runs

    folder = learning_folder(settings)
    known = dict(found.examples)
    with step():
        for run in read_runs(folder):
            for example in kept_examples(folder, run.name).examples(WHOLE):
                known.setdefault(example.id, example)
    return known


def _named(known: "Mapping[str, Example]", beginnings: Sequence[str]) -> list[str]:
    """Return the examples whose ids begin so; each beginning has to mean just one."""
    wanted = []
    for beginning in beginnings:
        found = [name for name in known if name.startswith(beginning)]
        if len(found) != 1:
            many = "several examples begin" if found else "no example begins"
            _refuse(f"{many} with {beginning!r}; `punie learn list` shows what there is.")
        wanted += found
    return wanted


def _agree(plan: "Deletion", *, yes: bool) -> None:
    """Ask whether to delete; end the command where the answer is no."""
    from punie.tools.wording import count

    if yes:
        return
    if not sys.stdin.isatty():
        _refuse("nobody is there to ask; use --yes to delete without a question.")
    along = f", and what was learned in {', '.join(plan.runs)}" if plan.runs else ""
    if not typer.confirm(f"Delete {count(len(plan.examples), 'example')}{along}, for good?"):
        print("Nothing was deleted.")
        raise typer.Exit(1)


def _refuse(sentence: str) -> NoReturn:
    say(sentence)
    raise typer.Exit(1)
