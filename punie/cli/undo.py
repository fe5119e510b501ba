"""`punie undo` and `punie redo`: file changes of a session taken back, and brought back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import anyio
import typer

from punie.agent.undo import just_do, move_turns, turns_with_changes
from punie.cli.help import run_typed
from punie.cli.stored import asked_session
from punie.sessions.store import SessionRecord
from punie.settings import Settings
from punie.tools.wording import count, one_line
from punie.workspace.checkpoints.journal import ChangedTurn, Direction, Journal
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.local import LocalWorkspace

_TITLE_CHARS = 60

_Number = Annotated[int, typer.Argument(min=1, max=1_000, metavar="TURNS", help="How many.")]
_Session = Annotated[str | None, typer.Option("--session", help="Beginning of a session id.")]
_Project = Annotated[
    Path | None, typer.Option("--project", help="Folder of the project; usually the current one.")
]
_List = Annotated[bool, typer.Option("--list", help="List the turns that changed files.")]
_StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Folder of sessions and logs.")]


def main(arguments: Sequence[str]) -> int:
    """Run `punie undo`; exit codes: 0 done, 1 nothing was done, 2 wrong usage."""
    return run_typed(undo, arguments, "undo")


def redo_main(arguments: Sequence[str]) -> int:
    """Run `punie redo`; exit codes as for `punie undo`."""
    return run_typed(redo, arguments, "redo")


def undo(
    turns: _Number = 1,
    session: _Session = None,
    project: _Project = None,
    listed: _List = False,
    state_dir: _StateDir = None,
) -> None:
    """Take back the file changes of the last turns of the folder's latest session with any."""
    _run("undo", turns, session, project, listed, state_dir)


def redo(
    turns: _Number = 1,
    session: _Session = None,
    project: _Project = None,
    listed: _List = False,
    state_dir: _StateDir = None,
) -> None:
    """Bring back the file changes that were taken back last."""
    _run("redo", turns, session, project, listed, state_dir)


def _run(
    direction: Direction,
    most: int,
    session: str | None,
    project: Path | None,
    listed: bool,
    state_dir: Path | None,
) -> None:
    settings, record = asked_session(
        session, project, state_dir, lambda settings, record: bool(_turns(settings, record))
    )
    if listed:
        print("\n".join(_lines(record, _turns(settings, record))))
        return
    text, done = anyio.run(_move, settings, record, direction, most)
    print(text)
    if not done:
        raise typer.Exit(1)


def _turns(settings: Settings, record: SessionRecord) -> list[ChangedTurn]:
    return turns_with_changes(Journal(settings.checkpoints_folder(record.id)))


async def _move(
    settings: Settings, record: SessionRecord, direction: Direction, most: int
) -> tuple[str, bool]:
    roots = [Path(record.cwd), *map(Path, record.meta.get("additional_directories", []))]
    workspace = CheckpointedWorkspace(
        LocalWorkspace(roots), Recorder(settings.checkpoints_folder(record.id))
    )
    moved = await move_turns(workspace, direction, most, just_do)
    await workspace.aclose()
    return moved.text, moved.any_done


def _lines(record: SessionRecord, turns: Sequence[ChangedTurn]) -> list[str]:
    title = f", {one_line(record.title, _TITLE_CHARS)}" if record.title else ""
    lines = [f"Session {record.id} in {record.cwd}{title}"]
    if not turns:
        return [*lines, "No files were changed in it."]
    for turn in reversed(turns):
        when = datetime.fromtimestamp(turn.at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        paths = {change.path for change in turn.changes}
        undone = {change.path for change in turn.changes if change.undone}
        state = ""
        if undone:
            state = " (taken back)" if undone == paths else " (taken back in part)"
        prompt = one_line(turn.prompt, _TITLE_CHARS) or "without a prompt"
        lines.append(f"  {when}  {prompt}: {count(len(paths), 'path')}{state}")
    return lines
