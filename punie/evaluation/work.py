"""What a model did on an item: the conversation, and what it left behind."""

from collections.abc import Mapping
from dataclasses import dataclass

from punie.agent.events import StopReason
from punie.training.data.example import Function, Message


@dataclass(frozen=True)
class Executed:
    """A call that the model made, and what came of it.

    `ran` is False for a call that was denied, could not be read, or is of no such tool; `result` is
    what the model was told either way. `failed` tells that it ran and ended with an error. `inner`
    tells that no answer holds it: the code of the model's call before it made it (or, for
    `explore`, its helper), and `result` is what that code could read. `anywhere` is what a command
    says in an empty folder too, so that it has not learned it from the project.
    """

    call: Function
    result: str
    ran: bool
    failed: bool
    inner: bool = False
    anywhere: str = ""


@dataclass(frozen=True)
class Work:
    """What a model did.

    Attributes:
        messages: the conversation, beginning with the prompt.
        files: the project's files afterwards, by path.
        stop: why the last turn ended.
        executed: its calls with what came of them, in the order in which they started; those that
            code made follow the call of the code.
        malformed: how many calls it wrote that could not be read.
        not_run: how many calls did not run: those, denied ones, and ones of no such tool.
        cut: whether an answer was ended because it only repeated itself.
        requests: model calls.
        tokens: tokens that it wrote.
        read_tokens: tokens that it was given and that no cache held.
        seconds: of all turns together, without what tests took.
        first_token_seconds: from each request to its first token, in order.
        peak_memory: bytes that the engine held at most since it was opened; None if unknown.
        trouble: what kept it from working, such as a failed engine; "" for nothing.
        model_failed: whether a request ended in an error of the model or its engine.
        tests: whether the project's own tests pass, where that was looked at; None elsewhere.
        files_before: the project's files when the person said the last thing; None if unknown.
    """

    messages: tuple[Message, ...]
    files: Mapping[str, bytes]
    stop: StopReason
    executed: tuple[Executed, ...] = ()
    malformed: int = 0
    not_run: int = 0
    cut: bool = False
    requests: int = 0
    tokens: int = 0
    read_tokens: int = 0
    seconds: float = 0.0
    first_token_seconds: tuple[float, ...] = ()
    peak_memory: int | None = None
    trouble: str = ""
    model_failed: bool = False
    tests: bool | None = None
    files_before: Mapping[str, bytes] | None = None

    @property
    def calls(self) -> tuple[Function, ...]:
        """All calls, in order."""
        return tuple(call.function for message in self.messages for call in message.tool_calls)

    @property
    def answer(self) -> str:
        """What was said behind the last call."""
        last = self.messages[-1] if self.messages else None
        if last is None or last.role != "assistant" or last.tool_calls:
            return ""
        return last.content.strip()
