"""Takes the file changes of turns back, and brings them back, with what checkpoints have kept."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread

from punie.agent.events import UserMessage
from punie.agent.title import title_of
from punie.logs.setup import get_logger
from punie.tools.presentation import DiffContent, Location, Presentation, TextContent
from punie.tools.wording import changed_line, count, in_backticks
from punie.workspace.base import NotTextError, Workspace, WorkspaceError
from punie.workspace.checkpoints.applying import apply_step
from punie.workspace.checkpoints.blobs import BlobStore, LostContentError
from punie.workspace.checkpoints.journal import ChangedTurn, Direction, Journal, Untold
from punie.workspace.checkpoints.planning import Plan, Step, plan_moves
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.text_files import decode_text, reason

MOST_SHOWN = 50
"""Files that are shown one by one when they are set back; the others are set back together."""

_NAMED = 20
_LOCK_SECONDS = 10.0
_LOCK_STEP_SECONDS = 0.05
_log = get_logger(__name__)

Perform = Callable[[Sequence[Step], Presentation, Callable[[], Awaitable[str]]], Awaitable[str]]
"""Shows some steps while they are done by the given function; returns what that returned: what was
in the way, "" if nothing was."""


@dataclass(frozen=True)
class Moved:
    """What is told of turns that were taken back or brought back, and whether any file moved."""

    text: str
    any_done: bool = False


@dataclass
class _Outcome:
    done: list[str] = field(default_factory=list)
    quiet: list[str] = field(default_factory=list)
    """What is only worth telling where nothing else was done."""
    left: list[str] = field(default_factory=list)


async def just_do(
    steps: Sequence[Step], shown: Presentation, work: Callable[[], Awaitable[str]]
) -> str:
    """Do the steps and show nothing."""
    return await work()


async def move_turns(
    workspace: CheckpointedWorkspace, direction: Direction, most: int, perform: Perform
) -> Moved:
    """Take the last turns that changed files back, or bring them back; return what to tell.

    At most `most` turns are moved, each file only if it holds exactly what was left in it.
    """
    journal = workspace.recorder.journal
    try:
        async with _alone(journal):
            turns = await anyio.to_thread.run_sync(journal.turns)
            plan = await plan_moves(turns, workspace.inner, direction, most)
            if not plan.turns:
                return Moved(_nothing(turns, direction))
            outcome = await _carry_out(plan, workspace, direction, perform)
            left = [id_ for refusal in plan.refusals for id_ in refusal.ids]
            if left:
                await anyio.to_thread.run_sync(journal.left, direction, left)
    except OSError as error:
        return Moved(f"What checkpoints have kept cannot be used: {reason(error)}.")
    return Moved(_told(plan, outcome, direction), any_done=bool(outcome.done))


def turns_with_changes(journal: Journal) -> list[ChangedTurn]:
    """Return the turns whose changes are known, oldest first; none if that cannot be read."""
    try:
        return [turn for turn in journal.turns() if turn.changes]
    except OSError as error:
        _log.warning("checkpoints not read", reason=reason(error))
        return []


@asynccontextmanager
async def _alone(journal: Journal) -> AsyncIterator[None]:
    """Wait until no other process is moving the changes of this session; raise `OSError`."""
    deadline = anyio.current_time() + _LOCK_SECONDS
    while (lock := journal.try_lock()) is None:
        if anyio.current_time() > deadline:
            raise TimeoutError(0, "another Punie is using them")
        await anyio.sleep(_LOCK_STEP_SECONDS)
    try:
        yield
    finally:
        lock.close()


async def _carry_out(
    plan: Plan, workspace: CheckpointedWorkspace, direction: Direction, perform: Perform
) -> _Outcome:
    outcome = _Outcome(left=[f"- {refusal.reason}" for refusal in plan.refusals])
    run = uuid4().hex
    for steps in _grouped(plan.steps):

        async def work(steps: Sequence[Step] = steps) -> str:
            troubles = []
            for step in steps:
                try:
                    await apply_step(step, workspace.inner, workspace.recorder.blobs)
                except WorkspaceError as error:
                    troubles.append(str(error))
                    continue
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(
                        workspace.recorder.journal.moved, direction, run, step.ids
                    )
                told = outcome.quiet if _is_quiet(step) else outcome.done
                told.append(f"- {_outcome(step, workspace, direction)}")
            outcome.left += [f"- {trouble}" for trouble in troubles]
            return "\n".join(troubles)

        if all(_is_quiet(step) for step in steps):
            await work()
        else:
            shown = await _picture(steps, workspace, direction)
            await perform(steps, shown, work)
    if not outcome.done and not outcome.left:
        outcome.done = outcome.quiet
    return outcome


def _grouped(steps: Sequence[Step]) -> list[Sequence[Step]]:
    """Return the steps one by one; what is too much to look at comes together."""
    single = [[step] for step in steps[:MOST_SHOWN]]
    return [*single, steps[MOST_SHOWN:]] if len(steps) > MOST_SHOWN else [*single]


def _is_quiet(step: Step) -> bool:
    return step.idle or "folder" in (step.target.kind, step.now.state.kind)


def _nothing(turns: Sequence[ChangedTurn], direction: Direction) -> str:
    if direction == "redo":
        return "There are no file changes to bring back in this session."
    if any("undo" in change.left for turn in turns for change in turn.changes):
        return (
            "There are no further file changes to take back in this session; what was changed "
            "since then stays as it is."
        )
    gaps = [gap for turn in turns for gap in turn.gaps]
    return " ".join(["There are no file changes to take back in this session.", *gaps[:1]])


def _told(plan: Plan, outcome: _Outcome, direction: Direction) -> str:
    parts = [_heading(plan.turns, direction, any_done=bool(outcome.done))]
    if outcome.done:
        parts.append("\n".join(_cut(outcome.done)))
    if outcome.left:
        moved = "taken back" if direction == "undo" else "brought back"
        parts.append("\n".join([f"Not {moved}:", "", *_cut(outcome.left)]))
    if direction == "undo":
        parts += [gap for turn in plan.turns for gap in turn.gaps]
    return "\n\n".join(parts)


def _cut(lines: Sequence[str]) -> list[str]:
    if len(lines) <= MOST_SHOWN:
        return [*lines]
    return [*lines[:MOST_SHOWN], f"- and {len(lines) - MOST_SHOWN} more"]


def _heading(turns: Sequence[ChangedTurn], direction: Direction, *, any_done: bool) -> str:
    if not any_done:
        return "No file was changed."
    moved = "taken back" if direction == "undo" else "brought back"
    if len(turns) > 1:
        return f"The file changes of {count(len(turns), 'turn')} are {moved}:"
    title = title_of(turns[0].prompt)
    what = f" “{title}”" if title else ""
    return f"The file changes of the turn{what} are {moved}:"


def _outcome(step: Step, workspace: Workspace, direction: Direction) -> str:
    shown = in_backticks(workspace.display(step.path))
    if step.needless:
        return f"{shown} was so already"
    if step.target.kind == "absent":
        return f"{shown} is removed"
    if direction == "undo":
        return f"{shown} is as it was before"
    return f"{shown} is {'there' if step.now.state.kind == 'absent' else 'changed'} again"


async def _picture(
    steps: Sequence[Step], workspace: CheckpointedWorkspace, direction: Direction
) -> Presentation:
    if len(steps) > 1:
        names = _names((step.path for step in steps), workspace.roots[0])
        done = "Set back" if direction == "undo" else "Bring back"
        return Presentation(
            title=f"{done} {count(len(steps), 'more path')}",
            kind="edit",
            content=(TextContent(text=names),),
        )
    (step,) = steps
    shown = workspace.display(step.path)
    before = "" if step.now.file is None else step.now.file.text
    after = await _text_of(step, workspace.recorder.blobs, shown)
    content: DiffContent | TextContent
    if step.needless:
        content = TextContent(text=f"{shown} was so already.")
    elif after is None or (step.now.file is None and step.now.state.kind != "absent"):
        content = TextContent(text=f"{shown} is no text that could be shown.")
    else:
        content = DiffContent(
            path=step.path,
            old_text=None if step.now.file is None else before,
            new_text=None if step.target.kind == "absent" else after,
        )
    if step.target.kind == "absent":
        title = "Remove"
    else:
        title = "Set back" if direction == "undo" else "Bring back"
    return Presentation(
        title=f"{title} {shown}",
        kind="edit",
        locations=(Location(path=step.path, line=changed_line(before, after or "")),),
        content=(content,),
    )


async def _text_of(step: Step, blobs: BlobStore, shown: str) -> str | None:
    """Return the text that a file is to hold, "" for one that goes, None if it is no text."""
    if step.target.kind == "absent":
        return ""
    if step.target.kind != "file":
        return None
    try:
        data = await anyio.to_thread.run_sync(blobs.get, step.target.digest)
        return decode_text(step.path, shown, data).text
    except (LostContentError, NotTextError):
        return None


async def with_note(message: UserMessage, journal: Journal, root: Path) -> UserMessage:
    """Return the prompt with what the model has to know of the files since its last turn.

    It is written down that the model knows.
    """

    def work() -> str:
        note = note_for_model(journal.untold(), root)
        if note:
            journal.told()
        return note

    try:
        note = await anyio.to_thread.run_sync(work)
    except OSError as error:
        _log.warning("checkpoints not read", reason=reason(error))
        return message
    return message.model_copy(update={"text": f"({note})\n\n{message.text}"}) if note else message


def note_for_model(untold: Untold, root: Path) -> str:
    """Return in sentences what the person had done to files that the model knows; or ""."""
    sentences = []
    if untold.undone:
        sentences.append(
            f"The user took your changes to {_names(untold.undone, root)} back with /undo; "
            "read before you change these files again."
        )
    if untold.redone:
        sentences.append(
            f"The user brought your changes to {_names(untold.redone, root)} back with /redo."
        )
    if untold.made:
        sentences.append(
            f"The user had {_names(untold.made, root)} written by a command of the IDE."
        )
    return " ".join(sentences)


def _names(paths: Iterable[Path], root: Path) -> str:
    names = [
        path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        for path in paths
    ]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join([*names[:_NAMED], *more])
