"""/undo and /redo: file changes of turns taken back, and brought back."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from uuid import uuid4

from punie.acp.commands.context import CommandContext, number_in
from punie.agent.events import ToolFinished, ToolRunning, ToolStarted
from punie.agent.undo import move_turns
from punie.tools.presentation import Presentation, TextContent
from punie.workspace.checkpoints.journal import Direction
from punie.workspace.checkpoints.planning import Step

_MOST_TURNS = 1_000


async def undo(context: CommandContext) -> str:
    """Take back the file changes of the last turns that made any. In every mode: it was asked."""
    return await _move(
        context,
        "undo",
        "`/undo` takes the number of turns whose file changes to take back, 1 without it.",
    )


async def redo(context: CommandContext) -> str:
    """Bring back what was taken back last."""
    return await _move(
        context,
        "redo",
        "`/redo` takes the number of turns whose file changes to bring back, 1 without it.",
    )


async def _move(context: CommandContext, direction: Direction, usage: str) -> str:
    most = number_in(context.arguments, 1, _MOST_TURNS)
    if most is None:
        return usage
    perform = partial(_show, context, direction, uuid4().hex)
    return (await move_turns(context.session.workspace, direction, most, perform)).text


async def _show(
    context: CommandContext,
    direction: Direction,
    message_id: str,
    steps: Sequence[Step],
    shown: Presentation,
    work: Callable[[], Awaitable[str]],
) -> str:
    """Show the steps as a tool call; return what was in the way, "" if nothing was."""
    call_id = f"{direction}-{uuid4().hex}"
    # A cancel waits, so that what was done is always recorded.
    with context.cancel.hold():
        await context.emit(
            ToolStarted(
                call_id=call_id,
                message_id=message_id,
                tool=direction,
                arguments={"paths": [str(step.path) for step in steps]},
                presentation=shown,
            )
        )
        await context.emit(ToolRunning(call_id=call_id))
        trouble = await work()
        if trouble:
            shown = shown.model_copy(update={"content": (TextContent(text=trouble),)})
        for step in steps:
            if step.now.file is not None:
                # The model last saw what its edit left, so it has to read the file again.
                context.session.reads.saw(step.path, step.now.file.digest)
        await context.emit(
            ToolFinished(
                call_id=call_id,
                status="failed" if trouble else "completed",
                result=trouble or "done",
                presentation=shown,
            )
        )
    return trouble
