"""Taking file changes back, worked out from the stored events alone.

What an edit left in a file is known from its diff, so a file is only touched while it still holds
exactly that. Edits whose end was never recorded (the process was killed, the turn was cancelled)
count if the file shows that they happened.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from punie.agent.events import (
    PermissionAsked,
    ToolFinished,
    ToolRunning,
    ToolStarted,
    TurnEvent,
    UserMessage,
)
from punie.agent.title import prompt_words
from punie.tools.presentation import DiffContent, Presentation
from punie.workspace.base import MissingFileError, TextFile, Workspace, WorkspaceError

UNDO_TOOL = "undo"
"""The name under which taking back is recorded; its argument `calls` lists what was taken back."""


@dataclass(frozen=True)
class FileChange:
    """What one call did to one file; `certain` tells that its success was recorded.

    A text of None is a file that is not there; `newline` and `bom` are as on disk.
    """

    call_id: str
    path: Path
    old_text: str | None
    new_text: str | None
    certain: bool
    newline: str = "\n"
    bom: bool = False


@dataclass
class ChangingTurn:
    """A turn with changes that were not taken back, oldest first; `prompt` is what was typed."""

    prompt: str
    changes: list[FileChange] = field(default_factory=list)
    ran_commands: bool = False


@dataclass(frozen=True)
class Reversal:
    """One file to set back: from `file`, as it is now (None if it is gone), to `text`.

    A `text` of None removes the file. `calls` are the calls that are taken back by it. A file that
    is gone gets `newline` and `bom` as it had them.
    """

    path: Path
    file: TextFile | None
    text: str | None
    calls: tuple[str, ...]
    newline: str = "\n"
    bom: bool = False

    @property
    def needless(self) -> bool:
        """Whether the file is already what it was."""
        return self.text == (None if self.file is None else self.file.text)


@dataclass(frozen=True)
class Refusal:
    """A file that is left as it is, wholly or from some point on; `reason` is a clause."""

    path: Path
    reason: str


def changing_turns(events: Iterable[TurnEvent]) -> list[ChangingTurn]:
    """Return the turns that changed files and were not taken back, the newest first."""
    turns: list[ChangingTurn] = []
    started: dict[str, ToolStarted] = {}
    shown: dict[str, Presentation] = {}
    running: dict[str, list[FileChange]] = {}
    undone: set[str] = set()
    for event in events:
        match event:
            case UserMessage():
                turns.append(ChangingTurn(prompt_words(event)))
            case ToolStarted():
                started[event.call_id] = event
                shown[event.call_id] = event.presentation
            case PermissionAsked():
                shown[event.call_id] = event.presentation
            case ToolRunning():
                call = started.get(event.call_id)
                if call is None or not turns or call.tool == UNDO_TOOL:
                    continue
                turns[-1].ran_commands |= call.presentation.kind == "execute"
                changes = _changes(event.call_id, shown[event.call_id], certain=False)
                running[event.call_id] = changes
                turns[-1].changes.extend(changes)
            case ToolFinished(status="completed"):
                call = started.get(event.call_id)
                if call is not None and call.tool == UNDO_TOOL:
                    undone.update(call.arguments.get("calls", ()))
                elif event.call_id in running:
                    turn = turns[-1]
                    turn.changes = [
                        change for change in turn.changes if change.call_id != event.call_id
                    ]
                    turn.changes += _changes(event.call_id, event.presentation, certain=True)
            case _:
                pass
    for turn in turns:
        turn.changes = [change for change in turn.changes if change.call_id not in undone]
    return [turn for turn in reversed(turns) if turn.changes]


async def undoable_turns(
    events: Iterable[TurnEvent], workspace: Workspace, most: int
) -> list[ChangingTurn]:
    """Return the newest turns, at most `most`, that really changed files and can be looked at."""
    found: list[ChangingTurn] = []
    for turn in changing_turns(events):
        if len(found) == most:
            break
        if any([change.certain or await _happened(change, workspace) for change in turn.changes]):
            found.append(turn)
    return found


async def _happened(change: FileChange, workspace: Workspace) -> bool:
    try:
        file = await _read(workspace, change.path)
    except WorkspaceError:
        return False
    return (None if file is None else file.text) == change.new_text


def _changes(call_id: str, shown: Presentation, *, certain: bool) -> list[FileChange]:
    return [
        FileChange(
            call_id,
            content.path,
            content.old_text,
            content.new_text,
            certain,
            content.newline,
            content.bom,
        )
        for content in shown.content
        if isinstance(content, DiffContent)
    ]


async def plan_undo(
    turns: Sequence[ChangingTurn], workspace: Workspace
) -> tuple[list[Reversal], list[Refusal]]:
    """Work out, without touching anything, how the files become what they were before the turns.

    The turns come newest first. A file that holds something else than the newest change left is
    refused; if an older change does not lead on, the file is set back as far as it goes.
    """
    by_path: dict[Path, list[FileChange]] = {}
    for turn in turns:
        for change in reversed(turn.changes):
            by_path.setdefault(change.path, []).append(change)
    reversals: list[Reversal] = []
    refusals: list[Refusal] = []
    for path, changes in by_path.items():
        try:
            file = await _read(workspace, path)
        except WorkspaceError as error:
            refusals.append(Refusal(path, str(error)))
            continue
        reversal, complete = _set_back(path, file, changes)
        if reversal.calls:
            reversals.append(reversal)
        if not complete:
            refusals.append(Refusal(path, _why(workspace, path, file, reversal)))
    return reversals, refusals


async def _read(workspace: Workspace, path: Path) -> TextFile | None:
    try:
        return await workspace.read_text(workspace.resolve(str(path)))
    except MissingFileError:
        return None


def _set_back(
    path: Path, file: TextFile | None, changes: Sequence[FileChange]
) -> tuple[Reversal, bool]:
    """Follow the changes back, newest first; tell whether that went to the oldest."""
    text = None if file is None else file.text
    calls: list[str] = []
    newline, bom = "\n", False
    complete = True
    for change in changes:
        if text == change.new_text:
            text = change.old_text
            newline, bom = change.newline, change.bom
        elif not change.certain:
            continue  # It never happened.
        elif text != change.old_text:
            complete = False
            break
        calls.append(change.call_id)
    return Reversal(path, file, text, tuple(calls), newline, bom), complete


def _why(workspace: Workspace, path: Path, file: TextFile | None, reversal: Reversal) -> str:
    shown = workspace.display(path)
    if reversal.calls:
        return f"{shown} was also changed by somebody else in between; older changes were left"
    if file is None:
        return f"{shown} is not there any more"
    return f"{shown} was changed since then and was left as it is"


async def set_back(reversal: Reversal, workspace: Workspace) -> None:
    """Make the file what it was; raise `WorkspaceError` if it cannot be done."""
    file = reversal.file
    if reversal.text is None:
        if file is not None:
            await workspace.remove(file)
    elif not reversal.needless:
        path = workspace.resolve(str(reversal.path))
        # Not like a file at this path, which would have to be there.
        form = TextFile(path.parent, "", "", reversal.newline, reversal.bom)
        await workspace.write_text(path, reversal.text, like=form if file is None else file)


def with_note(message: UserMessage, events: Sequence[TurnEvent], root: Path) -> UserMessage:
    """Return the prompt with what the model has to know of the commands since its last turn."""
    note = note_for_model(events, root)
    return message.model_copy(update={"text": f"({note})\n\n{message.text}"}) if note else message


def note_for_model(events: Sequence[TurnEvent], root: Path) -> str:
    """Return what commands did to files since the model last read a prompt, in sentences; or ""."""
    in_command = False
    started: dict[str, ToolStarted] = {}
    undone: dict[Path, None] = {}
    made: dict[Path, None] = {}
    for event in events:
        match event:
            case UserMessage():
                in_command = event.command is not None
                if not in_command:
                    undone.clear()
                    made.clear()
            case ToolStarted():
                started[event.call_id] = event
            case ToolFinished(status="completed") if in_command and event.call_id in started:
                undoes = started[event.call_id].tool == UNDO_TOOL
                for change in _changes(event.call_id, event.presentation, certain=True):
                    if not undoes:
                        made[change.path] = None
                    elif change.path in made:
                        del made[change.path]
                    else:
                        undone[change.path] = None
            case _:
                pass
    sentences = []
    if undone:
        sentences.append(
            f"The user took your changes to {_names(undone, root)} back with /undo; "
            "read before you change these files again."
        )
    if made:
        sentences.append(f"The user had {_names(made, root)} written by a command of the IDE.")
    return " ".join(sentences)


def _names(paths: Iterable[Path], root: Path) -> str:
    return ", ".join(
        path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        for path in paths
    )
