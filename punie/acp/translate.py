"""Turn events become `session/update` notifications.

A translator lives as long as a turn: it remembers the running calls, because an update of the
protocol replaces what was shown before.
"""

from typing import assert_never

from acp.helpers import text_block, tool_content
from acp.schema import (
    AgentMessageChunk,
    AgentPlanUpdate,
    AgentThoughtChunk,
    EmbeddedResourceContentBlock,
    PlanEntry,
    ResourceContentBlock,
    SessionInfoUpdate,
    TextResourceContents,
    ToolCallProgress,
    ToolCallUpdate,
    UsageUpdate,
    UserMessageChunk,
)

from punie.acp.handshake import ClientProfile
from punie.acp.tool_calls import (
    call_content,
    call_end,
    call_locations,
    call_progress,
    call_start,
    call_unwritten,
    call_whole,
    call_writing,
    terminal_content,
)
from punie.acp.updates import CompactionUpdate, NoticeUpdate, SessionUpdate
from punie.agent.events import (
    Compacted,
    GuideAdded,
    ModeChanged,
    ModelChanged,
    Notice,
    PermissionAnswered,
    PermissionAsked,
    PlanChanged,
    PromptBlock,
    PromptLink,
    PromptResource,
    PromptText,
    ResponseCut,
    TextDelta,
    ThinkingChanged,
    ThoughtDelta,
    TitleChanged,
    ToolFinished,
    ToolProgress,
    ToolRunning,
    ToolStarted,
    ToolUnwritten,
    ToolWriting,
    TurnEnded,
    TurnEvent,
    UsageChanged,
    UserMessage,
)

RUNNING_TAIL = 8_000
"""Characters of a running call's output that are shown; the whole follows when it has ended."""


class Translator:
    """Translates the events of one turn, in order, for a client as its profile says."""

    def __init__(self, profile: ClientProfile) -> None:
        self._profile = profile
        self._calls: dict[str, ToolStarted] = {}
        self._written: dict[str, ToolWriting] = {}
        self._tails: dict[str, str] = {}
        self._terminals: dict[str, str] = {}

    def updates(self, event: TurnEvent, position: int) -> list[SessionUpdate]:
        """Return what the client is to be sent for an event; often one update, sometimes none.

        `position` is the event's number in the session, from which messages that are no model's
        get an id that is the same when they are shown again.
        """
        match event:
            case TextDelta():
                return [message_chunk(event.text, event.message_id)]
            case ThoughtDelta():
                return [thought_chunk(event.text, event.message_id)]
            case ToolWriting():
                return [self._writing(event)]
            case ToolUnwritten():
                self._written.pop(event.call_id, None)
                return [call_unwritten(event)]
            case ToolStarted() | ToolRunning() | ToolProgress() | ToolFinished():
                return [self._call(event)]
            case PlanChanged():
                return [plan_update(event)]
            case UsageChanged():
                return [usage_update(event)]
            case TitleChanged():
                return [SessionInfoUpdate(session_update="session_info_update", title=event.title)]
            case Compacted() | GuideAdded() | Notice():
                return [self._aside(event, _id(position))]
            case (
                UserMessage()
                | PermissionAsked()
                | PermissionAnswered()
                | ModeChanged()
                | ModelChanged()
                | ThinkingChanged()
                | ResponseCut()
                | TurnEnded()
            ):
                # Said in other ways: by requests, by their answers, or known to the client.
                return []
            case _:
                assert_never(event)

    def permission_call(self, asked: PermissionAsked) -> ToolCallUpdate:
        """Return the call as a permission question carries it, whole, for it may be shown alone."""
        shown = asked.presentation
        started = self._calls.get(asked.call_id)
        return ToolCallUpdate(
            tool_call_id=asked.call_id,
            title=shown.title,
            kind=shown.kind,
            status="pending",
            locations=call_locations(shown),
            content=call_content(shown),
            raw_input=started.arguments if started is not None else None,
        )

    def _call(
        self, event: ToolStarted | ToolRunning | ToolProgress | ToolFinished
    ) -> SessionUpdate:
        match event:
            case ToolStarted():
                self._calls[event.call_id] = event
                start = call_start(event)
                announced = self._written.pop(event.call_id, None) is not None
                return call_whole(start) if announced else start
            case ToolRunning():
                return call_progress(event.call_id, status="in_progress")
            case ToolProgress():
                return self._output(event)
            case ToolFinished():
                self._calls.pop(event.call_id, None)
                self._tails.pop(event.call_id, None)
                return self._end(event)
            case _:
                assert_never(event)

    def _writing(self, event: ToolWriting) -> SessionUpdate:
        before = self._written.get(event.call_id)
        self._written[event.call_id] = event
        shown = call_writing(event)
        if before is None:
            return shown
        update = call_progress(event.call_id)
        update.raw_input = shown.raw_input
        update.content = shown.content
        if event.presentation.title != before.presentation.title:
            update.title = event.presentation.title
        return update

    def _output(self, event: ToolProgress) -> ToolCallProgress:
        if event.terminal_id is not None:
            self._terminals[event.call_id] = event.terminal_id
            return call_progress(event.call_id, content=[terminal_content(event.terminal_id)])
        tail = (self._tails.get(event.call_id, "") + event.text)[-RUNNING_TAIL:]
        self._tails[event.call_id] = tail
        return call_progress(event.call_id, content=[tool_content(text_block(tail))])

    def _end(self, event: ToolFinished) -> ToolCallProgress:
        update = call_end(event)
        terminal = self._terminals.pop(event.call_id, None)
        if terminal is not None:
            # The client keeps showing what the terminal held; the text is for when it is gone.
            update.content = [terminal_content(terminal)]
        return update

    def _aside(self, event: Compacted | GuideAdded | Notice, message_id: str) -> SessionUpdate:
        match event:
            case Notice():
                return self._notice(event, message_id)
            case GuideAdded():
                told = f"The model was told {' and '.join(event.names)}."
                return thought_chunk(told + "\n", message_id)
            case Compacted() if self._profile.compaction:
                summary = [text_block(event.sentence)]
                return CompactionUpdate(
                    compaction_id=message_id, status="completed", summary=summary
                )
            case Compacted():
                return thought_chunk(event.sentence + "\n", message_id)
            case _:
                assert_never(event)

    def _notice(self, event: Notice, message_id: str) -> SessionUpdate:
        """Show information beside the answer, and trouble in the chat itself."""
        if self._profile.notices:
            return NoticeUpdate(severity=event.severity, title=event.text)
        if event.severity == "info":
            return thought_chunk(event.text + "\n", message_id)
        return message_chunk(event.text, message_id)


def message_chunk(text: str, message_id: str) -> AgentMessageChunk:
    """Return a piece of an answer."""
    return AgentMessageChunk(
        session_update="agent_message_chunk", content=text_block(text), message_id=message_id
    )


def thought_chunk(text: str, message_id: str) -> AgentThoughtChunk:
    """Return a piece of thinking."""
    return AgentThoughtChunk(
        session_update="agent_thought_chunk", content=text_block(text), message_id=message_id
    )


def user_chunk(block: PromptBlock, message_id: str) -> UserMessageChunk:
    """Return a block of a prompt, for the replay of a session."""
    content = text_block("")
    chunk = UserMessageChunk(
        session_update="user_message_chunk", content=content, message_id=message_id
    )
    match block:
        case PromptText():
            chunk.content = text_block(block.text)
        case PromptLink():
            chunk.content = ResourceContentBlock(
                type="resource_link", uri=block.uri, name=block.name
            )
        case PromptResource():
            resource = TextResourceContents(
                uri=block.uri, text=block.text, mime_type=block.mime_type
            )
            chunk.content = EmbeddedResourceContentBlock(type="resource", resource=resource)
        case _:
            assert_never(block)
    return chunk


def plan_update(event: PlanChanged) -> AgentPlanUpdate:
    """Return the whole plan."""
    return AgentPlanUpdate(
        session_update="plan",
        entries=[
            PlanEntry(content=entry.content, priority=entry.priority, status=entry.status)
            for entry in event.entries
        ],
    )


def usage_update(event: UsageChanged) -> UsageUpdate:
    """Return how full the model's window is."""
    return UsageUpdate(
        session_update="usage_update", used=event.context_tokens, size=event.context_size
    )


def _id(position: int) -> str:
    return f"notice-{position}"
