"""A model whose responses are kept and timed while it works, and whose sampling has a seed."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.exceptions import ContentFilterError, ModelContextWindowExceededError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from punie.models.mlx.chat.messages import MALFORMED

_NOT_ITS_FAULT = (ModelContextWindowExceededError, ContentFilterError)
"""What a model that works well may raise."""


class WatchedModel(WrapperModel):
    """Passes everything on to the model it wraps.

    `first_token_seconds` are from each request to what came first of its response; `failed` tells
    that a request ended in an error, so that the model may be good for nothing any more.
    """

    def __init__(self, wrapped: Model, seed: int | None) -> None:
        super().__init__(wrapped)
        self.responses: list[ModelResponse] = []
        self.first_token_seconds: list[float] = []
        self.failed = False
        self._seed = seed

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Stream a response; its sampling begins with the seed and the number of the response."""
        settings = ModelSettings(**(model_settings or {}))
        if self._seed is not None:
            settings["seed"] = self._seed + len(self.responses)
        begin = time.perf_counter()
        try:
            async with self.wrapped.request_stream(
                messages, settings, model_request_parameters, run_context
            ) as stream:
                yield stream
                self.responses.append(stream.get())
                seconds = stream.time_to_first_chunk(begin)
                if seconds is not None:
                    self.first_token_seconds.append(seconds)
        except _NOT_ITS_FAULT:
            raise
        except Exception:
            self.failed = True
            raise

    async def count_tokens(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> RequestUsage:
        """Count tokens; a model that fails at that works no better than one that cannot answer."""
        try:
            return await self.wrapped.count_tokens(
                messages, model_settings, model_request_parameters
            )
        except Exception:
            self.failed = True
            raise

    @property
    def malformed(self) -> int:
        """How many calls could not be read."""
        return sum(map(_malformed_calls, self.responses))

    @property
    def tokens(self) -> int:
        """Tokens that were written."""
        return sum(response.usage.output_tokens for response in self.responses)

    @property
    def read_tokens(self) -> int:
        """Tokens that were given and that no cache held."""
        usages = [response.usage for response in self.responses]
        return sum(max(0, usage.input_tokens - usage.cache_read_tokens) for usage in usages)


def _malformed_calls(response: ModelResponse) -> int:
    return sum(
        isinstance(part, ToolCallPart)
        and (
            MALFORMED in (part.provider_details or {})
            or (isinstance(part.args, str) and part.args.startswith(MALFORMED))
        )
        for part in response.parts
    )
