"""The TurnEvent seam: everything that leaves the agent, as one small union.

Every front end and the session store consume the same stream, and a stored session is replayed
from it. The model's own history is rebuilt from these events too (`punie.agent.history`), so they
carry all that the model saw. This module imports nothing heavy.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from punie.tools.presentation import Presentation, WritableText
from punie.tools.wording import count

StopReason = Literal["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"]
Mode = Literal["ask", "accept_edits", "plan", "auto"]

Thinking = bool | Literal["minimal", "low", "medium", "high", "xhigh", "max"]
"""Whether the model thinks, or how hard, as pydantic-ai's `ThinkingLevel`."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PromptText(_Event):
    """Text that the user typed."""

    type: Literal["text"] = "text"
    text: str


class PromptLink(_Event):
    """A file or address that the user pointed at."""

    type: Literal["link"] = "link"
    uri: str
    name: str


class PromptResource(_Event):
    """Text that the IDE attached: a file or the selection in it."""

    type: Literal["resource"] = "resource"
    uri: str
    text: str
    mime_type: str | None = None


PromptBlock = Annotated[PromptText | PromptLink | PromptResource, Field(discriminator="type")]


class UserMessage(_Event):
    """A prompt: the blocks as they came, and `text`, the one message the model reads.

    `command` names the slash command that the prompt was; the model reads nothing of such a turn.
    """

    kind: Literal["user_message"] = "user_message"
    message_id: str
    blocks: tuple[PromptBlock, ...]
    text: str
    command: str | None = None


class GuideAdded(_Event):
    """Guides of the user or the project that the model reads before the prompt just given.

    `text` is exactly what it reads, `names` are where they come from.
    """

    kind: Literal["guide"] = "guide"
    text: str
    names: tuple[str, ...]


class TextDelta(_Event):
    """A piece of the answer; all pieces of one model response share `message_id`."""

    kind: Literal["text"] = "text"
    message_id: str
    text: str


class ThoughtDelta(_Event):
    """A piece of the model's thinking."""

    kind: Literal["thought"] = "thought"
    message_id: str
    text: str


class ToolStarted(_Event):
    """The model asks for a tool. `message_id` is that of the model response it belongs to.

    `parent` is the call whose running code made this one; the model knows nothing of such calls.
    """

    kind: Literal["tool_started"] = "tool_started"
    call_id: str
    message_id: str
    tool: str
    arguments: dict[str, Any]
    presentation: Presentation
    parent: str | None = None


class ToolWriting(_Event):
    """The model is writing a call; its arguments so far, the last string perhaps unfinished.

    `ToolStarted` or `ToolUnwritten` follows. Of the moment only, see `is_stored`.
    """

    kind: Literal["tool_writing"] = "tool_writing"
    call_id: str
    message_id: str
    tool: str
    arguments: dict[str, Any]
    presentation: Presentation


class ToolUnwritten(_Event):
    """A call that was being written will not be: the answer ended before. Of the moment only."""

    kind: Literal["tool_unwritten"] = "tool_unwritten"
    call_id: str


class ToolRunning(_Event):
    """The call was allowed and is running now."""

    kind: Literal["tool_running"] = "tool_running"
    call_id: str


class ToolProgress(_Event):
    """More output of a running call; `text` is appended to what came before.

    `terminal_id` names the terminal of the front end in which the output appears by itself.
    """

    kind: Literal["tool_progress"] = "tool_progress"
    call_id: str
    text: WritableText = ""
    terminal_id: str | None = None


class ToolFinished(_Event):
    """The end of a call; `result` is exactly what the model reads."""

    kind: Literal["tool_finished"] = "tool_finished"
    call_id: str
    status: Literal["completed", "failed"]
    result: WritableText
    presentation: Presentation


class PermissionChoice(_Event):
    """One answer that the person can give."""

    id: str
    name: str
    kind: Literal["allow_once", "allow_always", "reject_once", "reject_always"]


class PermissionAsked(_Event):
    """The person is asked whether a call may run; the presentation carries the whole diff."""

    kind: Literal["permission_asked"] = "permission_asked"
    call_id: str
    presentation: Presentation
    choices: tuple[PermissionChoice, ...]


class PermissionAnswered(_Event):
    """The answer; `choice` is None when the question was cancelled."""

    kind: Literal["permission_answered"] = "permission_answered"
    call_id: str
    choice: str | None
    allowed: bool


class PlanEntry(_Event):
    """One step of a plan."""

    content: str
    priority: Literal["high", "medium", "low"] = "medium"
    status: Literal["pending", "in_progress", "completed"] = "pending"


class PlanChanged(_Event):
    """The whole plan as it stands now."""

    kind: Literal["plan"] = "plan"
    entries: tuple[PlanEntry, ...]


class UsageChanged(_Event):
    """Tokens after a model call: in the context now, of how many, and what the call cost."""

    kind: Literal["usage"] = "usage"
    context_tokens: int
    context_size: int
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


class ModeChanged(_Event):
    """The session's mode is another one now."""

    kind: Literal["mode"] = "mode"
    mode: Mode


class ModelChanged(_Event):
    """The session's model is another one now; `model` is its reference in the catalogue."""

    kind: Literal["model"] = "model"
    model: str


class ThinkingChanged(_Event):
    """The model of the session is to think before it answers from now on, or no longer."""

    kind: Literal["thinking"] = "thinking"
    thinking: Thinking


class TitleChanged(_Event):
    """The session has another title now, as lists of sessions show it."""

    kind: Literal["title"] = "title"
    title: str


class Compacted(_Event):
    """Older messages left the model's context; `dropped` counts them.

    `cleared` are the calls whose results were replaced by a short remark before that, `cut` those
    of which so many characters stay. `summary` is what the model reads in place of the messages.
    """

    kind: Literal["compaction"] = "compaction"
    dropped: int
    cleared: tuple[str, ...] = ()
    cut: dict[str, int] = Field(default_factory=dict)
    summary: str = ""

    @property
    def sentence(self) -> str:
        """What happened, for the person."""
        gone = [
            *([count(self.dropped, "older message")] if self.dropped else []),
            *([count(len(self.cleared), "tool result")] if self.cleared else []),
        ]
        said = [f"{' and '.join(gone)} left the model's context."] if gone else []
        if self.cut:
            said.append(f"{count(len(self.cut), 'tool result')} had to be cut to fit into it.")
        if self.summary:
            said.append("A summary stays.")
        return " ".join(said)


class ResponseCut(_Event):
    """A response was ended, because the model only repeated itself.

    Its text stays as it was shown; the last `dropped` characters of it leave the model's context,
    and `reminder`, if it says something, is what the model reads next.
    """

    kind: Literal["response_cut"] = "response_cut"
    message_id: str
    dropped: int = 0
    reminder: str = ""


class Notice(_Event):
    """One plain sentence for the person that is not part of the model's answer."""

    kind: Literal["notice"] = "notice"
    severity: Literal["info", "warning", "error"]
    text: str


class TurnEnded(_Event):
    """The turn is over; nothing of it follows."""

    kind: Literal["turn_ended"] = "turn_ended"
    stop_reason: StopReason


TurnEvent = Annotated[
    UserMessage
    | GuideAdded
    | TextDelta
    | ThoughtDelta
    | ToolWriting
    | ToolUnwritten
    | ToolStarted
    | ToolRunning
    | ToolProgress
    | ToolFinished
    | PermissionAsked
    | PermissionAnswered
    | PlanChanged
    | UsageChanged
    | ModeChanged
    | ModelChanged
    | ThinkingChanged
    | TitleChanged
    | Compacted
    | ResponseCut
    | Notice
    | TurnEnded,
    Field(discriminator="kind"),
]

_ADAPTER: TypeAdapter[TurnEvent] = TypeAdapter(TurnEvent)


def is_stored(event: TurnEvent) -> bool:
    """Tell whether an event is part of the session; others are shown while they happen."""
    return not isinstance(event, ToolWriting | ToolUnwritten)


def encode_event(event: TurnEvent) -> str:
    """Return the event as one line of JSON."""
    return event.model_dump_json()


def decode_event(line: str | bytes) -> TurnEvent:
    """Read an event back; raise `pydantic.ValidationError` on anything else."""
    return _ADAPTER.validate_json(line)
