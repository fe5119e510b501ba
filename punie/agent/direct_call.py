"""A tool call that the person asked for, run by the same rules as a call of the model."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import anyio
from pydantic_ai.messages import ToolCallPart

from punie.agent.asking import Asking, AskPermission
from punie.agent.calls import CallRunner
from punie.agent.cancel import CancelSignal
from punie.agent.events import Mode
from punie.agent.journal import Emit, Journal, PastTurns
from punie.agent.permissions.store import Permissions
from punie.agent.toolset import read_call
from punie.tools.base import AnyTool, ToolContext

_CLOSING_SECONDS = 0.5


async def run_direct_call(
    tool: AnyTool,
    arguments: Mapping[str, Any],
    context: ToolContext,
    *,
    mode: Callable[[], Mode],
    emit: Emit,
    ask: AskPermission,
    permissions: Permissions | None,
    cancel: CancelSignal,
) -> str | None:
    """Run the call to its end and return its result; None if the question was cancelled.

    A call that is cut off by a cancel is finished as failed.
    """
    journal = Journal(emit, cancel, PastTurns())
    runner = CallRunner(journal, context, mode, Asking(journal, ask, permissions))
    part = ToolCallPart(
        tool_name=tool.name, args=dict(arguments), tool_call_id=f"direct-{uuid4().hex}"
    )
    try:
        call = await runner.start(part, read_call(part, [tool]), uuid4().hex)
        return await runner.run(call)
    finally:
        with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
            await journal.finish_open_calls()
