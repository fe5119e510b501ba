"""What the models of this room have in common: they stream; a whole response is a drained one."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

# What our own agent writes, in the order in which every model takes it.
_PLAIN = (UserPromptPart, TextPart, ThinkingPart, ToolCallPart, ToolReturnPart)


Say = Callable[[str], Awaitable[None]]

Progress = Callable[[int, int], Awaitable[None]]
"""Is told how many of a prompt's tokens the model has read, of how many."""


@dataclass(frozen=True)
class ModelUse:
    """Who uses a model: `owner` is a session, `watched` tells that a person waits for it.

    `say` tells that person a line about what takes long. Without `speculate` no drafts are made,
    which changes nothing but the time. Unless `guided`, calls are written without a grammar, as who
    measures a model may want it.
    """

    owner: str | None = None
    watched: bool = True
    say: Say | None = None
    speculate: bool = True
    guided: bool = True


_SILENT_SECONDS = 2.0
_SAY_EVERY_SECONDS = 5.0


def spoken_progress(say: Say) -> Progress:
    """Return a `Progress` that says a line now and then while a prompt takes long to read."""
    state = _Spoken()

    async def tell(done: int, total: int) -> None:
        now = time.monotonic()
        if done < state.done or state.due == 0:
            state.due = now + _SILENT_SECONDS  # another prompt
        state.done = done
        if now >= state.due and done < total:
            state.due = now + _SAY_EVERY_SECONDS
            await say(f"Reading the conversation: {done:,} of {total:,} tokens.")

    return tell


@dataclass
class _Spoken:
    done: int = 0
    due: float = 0.0


class StreamingModel(Model[Any]):
    """A model whose one way to answer is `request_stream`."""

    warnings: tuple[str, ...] = ()
    """What the person should know of how it runs: sentences with a cure."""

    @property
    def peak_memory(self) -> int | None:
        """Bytes that its engine held at most since the process began; None if it does not tell."""
        return None

    def used_by(self, use: ModelUse) -> "StreamingModel":
        """Return this model as one session uses it; for most models that is no difference."""
        return self

    async def read_ahead(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> None:
        """Read what the next request will begin with, where that saves time then.

        That is everything up to the person's next message: the instructions and tools, and
        `messages` as they will be rendered once there is another one after them. The settings are
        those of the request, whose effort may stand in the prompt.
        """

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the whole response; raises as `request_stream` does."""
        parameters = model_request_parameters
        async with self.request_stream(messages, model_settings, parameters) as stream:
            async for _ in stream:
                pass
            return stream.get()

    def prepare_messages(
        self,
        messages: list[ModelMessage],
        model_request_parameters: ModelRequestParameters | None = None,
    ) -> list[ModelMessage]:
        """Return the history as a model takes it: as it is, unless it holds what needs translation.

        The framework would put notes beside texts that look like its own frames. Our chat formats
        keep content apart from control tokens, so that the notes would only change the prompt.
        """
        if all(isinstance(part, _PLAIN) for message in messages for part in message.parts):
            return messages
        return super().prepare_messages(messages, model_request_parameters)
