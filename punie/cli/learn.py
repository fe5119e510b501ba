"""`punie learn`: a model learns from the user's own sessions; every example seen and deletable."""

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
    from punie.training.learning.run import Prepared

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
        "run": run,
        "list": list_examples,
        "show": show,
        "delete": delete,
        "status": status,
        "off": off,
    }
    # `punie learn` alone learns, whatever its options.
    given = [*arguments]
    if not given or (given[0].startswith("-") and given[0] != "--help"):
        given.insert(0, "run")
    return run_group(
        commands, given, "learn", "Let a model learn from your own sessions, on this machine."
    )


def run(
    project: _Project = None,
    without_project: _Without = None,
    since: _Since = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model to begin with, if not the one in use.")
    ] = None,
    least: Annotated[int, typer.Option(min=1, help="How many examples there must be.")] = 10,
    rehearsal: Annotated[
        float, typer.Option(min=0.1, max=0.95, help="Share of generated examples among all.")
    ] = 0.5,
    passes: Annotated[float, typer.Option(help="How often every example is learned, about.")] = 3.0,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value, such as tune.rank=16."),
    ] = None,
    yes: _Yes = False,
    state_dir: _StateDir = None,
) -> None:
    """Learn from accepted turns, and use the model that comes out if it passed all its gates."""
    from punie.cli import models
    from punie.training.errors import TrainingError
    from punie.training.learning.ledger import learning_folder
    from punie.training.learning.options import LearnOptions
    from punie.training.learning.run import forget_older, learn, prepare
    from punie.training.learning.runs import Active, read_active, remove_run, write_active
    from punie.training.pipeline.plan import plan_lines, plan_recipe
    from punie.training.pipeline.recipe import setting

    settings = settings_for(state_dir=state_dir)
    folder = learning_folder(settings)
    with step() as (report, stopped):
        options = LearnOptions(
            selection=_selection(project, without_project, since),
            model=model,
            least=least,
            rehearsal=rehearsal,
            passes=passes,
            values=dict(setting(value) for value in values or ()),
        )
        prepared = prepare(options, settings, report, stopped)
        before = _model_before(folder)
        if prepared.run.state == "learned":
            print(f"There is nothing new: {prepared.run.name} has learned all of this.")
        else:
            try:
                plan = plan_recipe(prepared.recipe, prepared.store)
                print("\n".join([_intention(prepared), *plan_lines(plan)]))
                if plan.problems:
                    raise TrainingError(f"It cannot be learned: {plan.problems[0]}")
                _begin(yes=yes)
            except (TrainingError, typer.Exit):
                if not prepared.goes_on:  # No copies of examples that nothing is made of.
                    remove_run(folder, prepared.run.name)
                raise
            learn(prepared, settings, report, stopped)
        active = read_active(folder)
        if active is not None and active.run == prepared.run.name:
            print(f"{prepared.run.name} is in use.")
            return
        models.use(prepared.run.name)
        write_active(folder, Active(run=prepared.run.name, before=before))
        print("`punie learn off` goes back to the model before.")
        forget_older(folder, prepared.run.name, lambda name: print(f"{name} is deleted."))


def off(state_dir: _StateDir = None) -> None:
    """Go back to the model that was in use before anything was learned."""
    from punie.settings import SettingsError
    from punie.training.learning.ledger import learning_folder
    from punie.training.learning.runs import read_active

    settings = settings_for(state_dir=state_dir)
    folder = learning_folder(settings)
    active = read_active(folder)
    if active is None:
        print("No learned model is in use.")
        return
    with step():
        try:
            print(_go_back(folder))
        except SettingsError as error:
            _refuse(str(error))


def list_examples(
    project: _Project = None,
    without_project: _Without = None,
    since: _Since = None,
    state_dir: _StateDir = None,
) -> None:
    """List what there is to learn from, what was learned from, and what was left out and why."""
    from punie.cli.terminal import printable
    from punie.training.learning.shown import example_row

    settings = settings_for(state_dir=state_dir)
    learned = _learned(settings)
    if learned and not settings.learn_from_sessions:
        found = _look_if_allowed(settings)
    else:
        found = _look(settings, _selection(project, without_project, since))
    for name, example in found.examples.items():
        print(printable(example_row(example, found.origins[name])))
    for name, (example, run) in learned.items():
        if name not in found.examples:
            print(f"{printable(example_row(example, None))}  (in {run})")
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
    from punie.training.learning.runs import read_active

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
        active = read_active(folder)
        if active is not None and active.run in plan.runs:
            print(_go_back(folder))
        deleted = delete_examples(folder, plan)
    print(f"{count(deleted.examples, 'example')} deleted.")
    for run, removed in deleted.removed.items():
        print(f"{run} is deleted with its examples and {count(len(removed), 'step')} made of them.")


def status(state_dir: _StateDir = None) -> None:
    """Tell whether learning is allowed, what there is to learn, and what was learned."""
    from punie.settings import user_settings_file
    from punie.tools.wording import count
    from punie.training.learning.ledger import learning_folder, read_ledger
    from punie.training.learning.runs import read_active, read_runs

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
    active = read_active(folder)
    runs = read_runs(folder)
    for run in runs:
        used = ", in use" if active is not None and active.run == run.name else ""
        when = datetime.fromtimestamp(run.started).astimezone().strftime("%Y-%m-%d %H:%M")
        why = f": {run.sentence}" if run.sentence else ""
        print(f"{run.name}  {when}  {count(run.examples, 'example')}  {run.state}{used}{why}")
    if runs and runs[-1].state != "learned":
        with step():
            _tell_progress(folder, runs[-1].name)


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
    learned = {name: example for name, (example, _) in _learned(settings).items()}
    return {**learned, **found.examples}


def _learned(settings: "Settings") -> "dict[str, tuple[Example, str]]":
    """Return the examples of earlier runs by id, each with the last run that has it."""
    from punie.training.learning.ledger import learning_folder
    from punie.training.learning.runs import PART, kept_examples, read_runs

    folder = learning_folder(settings)
    known: dict[str, tuple[Example, str]] = {}
    with step():
        for run in read_runs(folder):
            for example in kept_examples(folder, run.name).examples(PART):
                known[example.id] = (example, run.name)
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


def _tell_progress(folder: Path, name: str) -> None:
    from punie.training.learning.runs import store_of
    from punie.training.pipeline.runs import read_run, run_names
    from punie.training.pipeline.status import status_lines

    store = store_of(folder)
    if name in run_names(store):
        print("\n".join(status_lines(store, read_run(store, name))))


def _intention(prepared: "Prepared") -> str:
    from punie.tools.wording import count

    run = prepared.run
    sure = f" ({prepared.kept} of them kept for certain)" if prepared.kept else ""
    goes_on = "It goes on with what was begun: " if prepared.goes_on else ""
    return (
        f"{goes_on}{run.base} learns from {count(run.examples, 'example')} of your sessions{sure}, "
        "and generated ones beside them so that it forgets nothing. Nothing leaves this machine."
    )


def _begin(*, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        _refuse("nobody is there to ask; use --yes to begin without a question.")
    if not typer.confirm("Begin?", default=True):
        print("Nothing was begun.")
        raise typer.Exit(1)


def _model_before(folder: Path) -> str | None:
    """Return the model that the user's settings name, or named before the learned one."""
    from punie.settings import user_setting
    from punie.training.learning.runs import read_active

    active = read_active(folder)
    chosen: str | None = user_setting("model")
    return active.before if active is not None and chosen == active.run else chosen


def _go_back(folder: Path) -> str:
    """Choose the model before the learned one, unless another one was chosen since; say so."""
    from punie.settings import store_user_setting, user_setting
    from punie.training.learning.runs import read_active, write_active

    active = read_active(folder)
    assert active is not None
    if user_setting("model") != active.run:
        write_active(folder, None)
        return f"{active.run} is not in use any more; the model of your settings stays."
    path = store_user_setting("model", active.before)
    write_active(folder, None)
    return f"{active.before or 'punie-tiny'} is the model again ({path})."
