"""Tool calls as the protocol shows them, from their announcement to their end."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from acp.helpers import text_block, tool_content, tool_diff_content
from acp.schema import (
    ContentToolCallContent,
    FileEditToolCallContent,
    TerminalToolCallContent,
    ToolCallLocation,
    ToolCallProgress,
)

from punie.acp.updates import NamedToolCall
from punie.agent.events import ToolFinished, ToolStarted, ToolUnwritten, ToolWriting
from punie.tools.presentation import DiffContent, Presentation, TextContent

ToolContentBlock = ContentToolCallContent | FileEditToolCallContent | TerminalToolCallContent

WRITTEN_TAIL = 2_000
"""Characters of each text that are shown of the arguments of a call that is being written."""

_WRITTEN_ITEMS = 10
_LARGEST_CONTENT = 4_000_000
_NEVER_WRITTEN = "The answer ended before the call was written."


def call_start(event: ToolStarted) -> NamedToolCall:
    """Announce a call, with all that is known of it before it runs."""
    shown = event.presentation
    return NamedToolCall(
        session_update="tool_call",
        name=event.tool,
        tool_call_id=event.call_id,
        title=shown.title,
        kind=shown.kind,
        status="pending",
        locations=call_locations(shown),
        content=call_content(shown),
        raw_input=event.arguments,
    )


def call_writing(event: ToolWriting) -> NamedToolCall:
    """Announce a call that is still being written; of long texts and lists the end is shown."""
    shown = event.presentation
    return NamedToolCall(
        session_update="tool_call",
        name=event.tool,
        tool_call_id=event.call_id,
        title=shown.title,
        kind=shown.kind,
        status="pending",
        content=call_content(shown),
        raw_input=_tails(event.arguments),
    )


def call_unwritten(event: ToolUnwritten) -> ToolCallProgress:
    """Show that a call will not be written to its end."""
    return ToolCallProgress(
        session_update="tool_call_update",
        tool_call_id=event.call_id,
        status="failed",
        content=[tool_content(text_block(_NEVER_WRITTEN))],
    )


def call_whole(start: NamedToolCall) -> ToolCallProgress:
    """Show what is known of a call, now that it is whole, in place of what was shown before."""
    return ToolCallProgress(
        session_update="tool_call_update",
        tool_call_id=start.tool_call_id,
        title=start.title,
        kind=start.kind,
        status="pending",
        locations=start.locations,
        content=start.content,
        raw_input=start.raw_input,
    )


def _tails(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= WRITTEN_TAIL else f"…{value[-WRITTEN_TAIL:]}"
    if isinstance(value, Mapping):
        return {key: _tails(item) for key, item in value.items()}
    return [_tails(item) for item in value[-_WRITTEN_ITEMS:]] if isinstance(value, list) else value


def call_end(event: ToolFinished) -> ToolCallProgress:
    """Show how a call ended."""
    shown = event.presentation
    content = call_content(shown) or [tool_content(text_block(event.result))]
    return ToolCallProgress(
        session_update="tool_call_update",
        tool_call_id=event.call_id,
        status=event.status,
        title=shown.title,
        kind=shown.kind,
        locations=call_locations(shown),
        content=content,
    )


def call_replayed(
    started: ToolStarted, finished: ToolFinished | None, *, running: bool
) -> NamedToolCall:
    """Show a past call as it ended; without an end it was interrupted, or is `running` still."""
    update = call_start(started)
    if finished is None and running:
        return update
    if finished is None:
        update.status = "failed"
        interrupted = tool_content(text_block("Interrupted before it ended."))
        update.content = [*(update.content or []), interrupted]
        return update
    end = call_end(finished)
    update.status = finished.status
    update.title = finished.presentation.title
    update.kind = finished.presentation.kind
    update.locations = end.locations
    update.content = end.content
    return update


def call_progress(
    call_id: str,
    *,
    status: str | None = None,
    content: Sequence[ToolContentBlock] | None = None,
) -> ToolCallProgress:
    """Return an update of a call that says these things and leaves the others as they are."""
    return ToolCallProgress(
        session_update="tool_call_update",
        tool_call_id=call_id,
        status="in_progress" if status else None,
        content=list(content) if content is not None else None,
    )


def call_locations(shown: Presentation) -> list[ToolCallLocation] | None:
    """Return the places of a call; None where there is none."""
    places = [ToolCallLocation(path=str(at.path), line=at.line) for at in shown.locations]
    return places or None


def call_content(shown: Presentation) -> list[ToolContentBlock] | None:
    """Return the texts and diffs of a call; None where there is none."""
    blocks: list[ToolContentBlock] = []
    for content in shown.content:
        match content:
            case TextContent():
                blocks.append(tool_content(text_block(content.text)))
            case DiffContent():
                blocks.append(_diff(content))
            case _:
                assert_never(content)
    return blocks or None


def terminal_content(terminal_id: str) -> TerminalToolCallContent:
    """Return the client's terminal in which a call's output appears."""
    return TerminalToolCallContent(type="terminal", terminal_id=terminal_id)


def _diff(diff: DiffContent) -> ToolContentBlock:
    new_text = diff.new_text or ""
    size = len(new_text) + len(diff.old_text or "")
    if size > _LARGEST_CONTENT:
        text = f"The change to {diff.path} is too large to show ({size} characters)."
        return tool_content(text_block(text))
    return tool_diff_content(str(diff.path), new_text, diff.old_text)
