"""What the models of this room have in common: they stream; a whole response is a drained one."""

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


class StreamingModel(Model[Any]):
    """A model whose one way to answer is `request_stream`."""

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
