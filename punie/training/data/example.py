"""One example of a dataset: a conversation, and where it comes from.

The messages are those that chat templates take (`punie.models.mlx.chat_format.ChatMessage`), in the
form that OpenAI's API and mlx-lm read: a call is `{"type": "function", "function": {"name": ...,
"arguments": {...}}}`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from punie.training.hashing import value_hash

Role = Literal["system", "user", "assistant", "tool"]
Source = Literal["generated", "session", "teacher", "imported"]
"""Made by the generator, from the user's own sessions, played by a model, or from elsewhere."""


class Function(BaseModel):
    """The inside of a call: which tool, with which arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    arguments: dict[str, Any]


class ToolCall(BaseModel):
    """A call that the assistant makes."""

    model_config = ConfigDict(frozen=True)

    type: Literal["function"] = "function"
    function: Function


class Message(BaseModel):
    """One message; `reasoning_content` is what the assistant thought, `tool_calls` its calls."""

    model_config = ConfigDict(frozen=True)

    role: Role
    content: str = ""
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()


class Example(BaseModel):
    """One conversation to learn from or to measure by.

    Attributes:
        messages: the conversation without what stands before it; see `prefix`.
        context: how many messages at the start are only read: what the assistant says there is
            what it had said when it answered, and is not learned.
        prefix: which of the dataset's prompt prefixes (instructions and tools) it goes with.
        task: what kind of task it is, such as "search" or "recovery".
        project: which project it acts on; examples of one project belong into one part.
        source: who made it.
        executed: whether every tool result in it was returned by a tool that really ran.
        checked: how its outcome is known to be right: by the project's "tests", by "files" and
            answer compared with what is due, by a "person" who kept the work, or "" for not at all.
    """

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...] = Field(min_length=1)
    context: int = Field(default=0, ge=0)
    prefix: str = ""
    task: str = ""
    project: str = ""
    source: Source = "imported"
    executed: bool = False
    checked: Literal["", "tests", "files", "person"] = ""

    @property
    def id(self) -> str:
        """A name made of what is said alone: equal conversations have equal ids."""
        return value_hash([message.model_dump() for message in self.messages])[:16]

    @property
    def query(self) -> str:
        """What the user asked first."""
        return next((m.content for m in self.messages if m.role == "user"), "")

    @property
    def calls(self) -> tuple[Function, ...]:
        """All calls of the conversation, in order."""
        return tuple(call.function for message in self.messages for call in message.tool_calls)

    @property
    def learned_calls(self) -> tuple[Function, ...]:
        """The calls that are learned, in order: those behind the context."""
        return tuple(
            call.function
            for message in self.messages[self.context :]
            for call in message.tool_calls
        )

    def chat(self) -> list[dict[str, Any]]:
        """Return the messages for a chat template, as those that are served have them."""
        return [
            {"content": message.content, **message.model_dump(mode="json", exclude_defaults=True)}
            for message in self.messages
        ]


class PromptPrefix(BaseModel):
    """What stands before conversations: the instructions, and the tools as templates take them."""

    model_config = ConfigDict(frozen=True)

    instructions: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def id(self) -> str:
        """A name made of the content alone."""
        return value_hash(self.model_dump(mode="json"))[:12]
