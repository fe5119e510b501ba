"""What the models of this room have in common: they stream; a whole response is a drained one."""

from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings


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
