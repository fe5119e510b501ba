"""/undo and /init: what changes files of the project."""

from collections.abc import Sequence
from uuid import uuid4

from anyio import to_thread

from punie.acp.commands.context import CommandContext, number_in
from punie.acp.heavy import import_turn
from punie.agent.events import ToolFinished, ToolRunning, ToolStarted
from punie.agent.guide import GUIDE_FILE, guide_text, missing_lines
from punie.agent.policy import DENIED
from punie.agent.project_facts import find_facts
from punie.agent.title import title_of
from punie.agent.undo import (
    UNDO_TOOL,
    ChangingTurn,
    Reversal,
    plan_undo,
    set_back,
    undoable_turns,
)
from punie.tools.base import ToolContext
from punie.tools.presentation import DiffContent, Location, Presentation, TextContent
from punie.tools.wording import changed_line, count, fenced, in_backticks
from punie.tools.write_file import WRITE_FILE
from punie.workspace.base import MissingFileError, Workspace, WorkspaceError

_MOST_TURNS = 1_000


async def undo(context: CommandContext) -> str:
    """Take back the file changes of the last turns that made any. In every mode: it was asked."""
    most = number_in(context.arguments, 1, _MOST_TURNS)
    if most is None:
        return "`/undo` takes the number of turns whose file changes to take back, 1 without it."
    session = context.session
    turns = await undoable_turns(session.events, session.workspace, most)
    if not turns:
        return "There are no file changes to take back in this session."
    reversals, refusals = await plan_undo(turns, session.workspace)
    message_id = uuid4().hex
    done: list[str] = []
    left = [f"- {refusal.reason}" for refusal in refusals]
    for reversal in reversals:
        trouble = await _take_back(context, reversal, message_id)
        if trouble:
            left.append(f"- {trouble}")
        else:
            done.append(f"- {_outcome(reversal, session.workspace)}")
    parts = [_heading(turns, any_done=bool(done)), *(["\n".join(done)] if done else [])]
    if left:
        parts.append("\n".join(["Not taken back:", "", *left]))
    if any(turn.ran_commands for turn in turns):
        parts.append("What commands did to files in these turns is not taken back.")
    return "\n\n".join(parts)


def _heading(turns: Sequence[ChangingTurn], *, any_done: bool) -> str:
    if not any_done:
        return "No file was changed."
    if len(turns) > 1:
        return f"The file changes of {count(len(turns), 'turn')} are taken back:"
    title = title_of(turns[0].prompt)
    what = f" “{title}”" if title else ""
    return f"The file changes of the turn{what} are taken back:"


def _outcome(reversal: Reversal, workspace: Workspace) -> str:
    shown = in_backticks(workspace.display(reversal.path))
    if reversal.needless:
        return f"{shown} was so already"
    if reversal.text is None:
        return f"{shown} is removed"
    return f"{shown} is as it was before"


async def _take_back(context: CommandContext, reversal: Reversal, message_id: str) -> str:
    """Set one file back, shown as a tool call; return what was in the way, "" if nothing was."""
    session = context.session
    shown = _picture(reversal, session.workspace)
    call_id = f"undo-{uuid4().hex}"
    # A cancel waits, so that what was done is always recorded.
    with context.cancel.hold():
        await context.emit(
            ToolStarted(
                call_id=call_id,
                message_id=message_id,
                tool=UNDO_TOOL,
                arguments={"path": str(reversal.path), "calls": list(reversal.calls)},
                presentation=shown,
            )
        )
        await context.emit(ToolRunning(call_id=call_id))
        trouble = ""
        try:
            await set_back(reversal, session.workspace)
        except WorkspaceError as error:
            trouble = str(error)
            shown = shown.model_copy(update={"content": (TextContent(text=trouble),)})
        if reversal.file is not None:
            # The model last saw what its edit left, so it has to read the file again.
            session.reads.saw(reversal.file.path, reversal.file.digest)
        await context.emit(
            ToolFinished(
                call_id=call_id,
                status="failed" if trouble else "completed",
                result=trouble or "taken back",
                presentation=shown,
            )
        )
    return trouble


def _picture(reversal: Reversal, workspace: Workspace) -> Presentation:
    shown = workspace.display(reversal.path)
    before = None if reversal.file is None else reversal.file.text
    after = reversal.text
    if reversal.needless:
        content: DiffContent | TextContent = TextContent(text=f"{shown} was so already.")
    else:
        content = DiffContent(path=reversal.path, old_text=before, new_text=after)
    return Presentation(
        title=f"{'Remove' if reversal.text is None else 'Set back'} {shown}",
        kind="edit",
        locations=(Location(path=reversal.path, line=changed_line(before or "", after or "")),),
        content=(content,),
    )


async def init(context: CommandContext) -> str:
    """Write AGENTS.md, as an edit that the mode may have to be asked for."""
    workspace = context.session.workspace
    try:
        guide = guide_text(await find_facts(workspace))
        existing = await _existing_guide(workspace)
    except WorkspaceError as error:
        return f"{GUIDE_FILE} was not written: {error}."
    if existing is None:
        return await _write_guide(context, guide)
    missing = missing_lines(guide, existing)
    if not missing:
        return f"There is an {GUIDE_FILE} already, and it says all that the project's files say."
    lacks = fenced("\n".join(missing), "markdown").text
    return f"There is an {GUIDE_FILE} already, which stays as it is. It lacks:\n\n{lacks}"


async def _existing_guide(workspace: Workspace) -> str | None:
    try:
        return (await workspace.read_text(workspace.resolve(GUIDE_FILE))).text
    except MissingFileError:
        return None


async def _write_guide(context: CommandContext, guide: str) -> str:
    session = context.session
    if session.mode == "plan":
        would = fenced(guide, "markdown").text
        return (
            f"The plan mode changes no files, so {GUIDE_FILE} was not written; switch with "
            f"`/mode ask` and say `/init` again. It would be:\n\n{would}"
        )
    await to_thread.run_sync(import_turn, abandon_on_cancel=True)
    from punie.agent.direct_call import run_direct_call

    result = await run_direct_call(
        WRITE_FILE,
        {"path": GUIDE_FILE, "content": guide},
        ToolContext(workspace=session.workspace, reads=session.reads),
        mode=lambda: session.mode,
        emit=context.emit,
        ask=context.ask,
        permissions=session.permissions,
        cancel=context.cancel,
    )
    if result is None:
        context.cancel.cancel()
        return f"{GUIDE_FILE} was not written."
    if result == DENIED:
        return f"{GUIDE_FILE} was not written, because you did not allow it."
    if result.startswith("error: "):
        # What follows a semicolon is for a model.
        return f"{GUIDE_FILE} was not written: {result.removeprefix('error: ').partition('; ')[0]}."
    return f"{GUIDE_FILE} is written; add to it what the project's files do not tell."
