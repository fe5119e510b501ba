"""The `session/update` notifications that this agent sends, those newer than the SDK included."""

from typing import Annotated, Any, Literal

from acp.schema import (
    AgentMessageChunk,
    AgentPlanUpdate,
    AgentThoughtChunk,
    AvailableCommandsUpdate,
    ConfigOptionUpdate,
    CurrentModeUpdate,
    SessionInfoUpdate,
    TextContentBlock,
    ToolCallProgress,
    ToolCallStart,
    UsageUpdate,
    UserMessageChunk,
)
from pydantic import BaseModel, ConfigDict, Field


class _Update(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


class NamedToolCall(ToolCallStart):
    """A tool call with the name of the tool, which the schema has had since version 1.20."""

    name: str


class NoticeUpdate(_Update):
    """A sentence for the person that is no part of the answer."""

    session_update: Annotated[Literal["notice"], Field(alias="sessionUpdate")] = "notice"
    severity: Literal["info", "warning", "error"]
    title: str


class CompactionUpdate(_Update):
    """Older messages left the model's context."""

    session_update: Annotated[Literal["compaction_update"], Field(alias="sessionUpdate")] = (
        "compaction_update"
    )
    compaction_id: Annotated[str, Field(alias="compactionId")]
    status: Literal["completed"]
    summary: list[TextContentBlock]


SessionUpdate = (
    UserMessageChunk
    | AgentMessageChunk
    | AgentThoughtChunk
    | NamedToolCall
    | ToolCallProgress
    | AgentPlanUpdate
    | AvailableCommandsUpdate
    | CurrentModeUpdate
    | ConfigOptionUpdate
    | SessionInfoUpdate
    | UsageUpdate
    | NoticeUpdate
    | CompactionUpdate
)


def update_params(session_id: str, update: SessionUpdate) -> dict[str, Any]:
    """Return the notification's parameters as JSON."""
    shown = update.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"sessionId": session_id, "update": shown}
