"""The Model seam: a model on an OpenAI-compatible server that the user's settings name."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from openai import APIStatusError, AsyncOpenAI, OpenAIError
from pydantic import ValidationError
from pydantic_ai import RunContext
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelTimeoutError,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings

from punie.models.endpoint import KEY_VARIABLE, Endpoint, one_line, reason_of
from punie.models.streaming import StreamingModel

PROVIDER = "openai-compatible"
_CONNECT_SECONDS = 10.0
_SILENT_SECONDS = 600.0
"""A long prompt takes minutes to read, and not every server says meanwhile that it is there."""
_OPENAI = "api.openai.com"

_FAULTS = (AgentRunError, OpenAIError, httpx2.HTTPError, ValidationError, ValueError)
"""What the framework, the SDK and the connection raise for a server that does not do its part."""


class EndpointError(ModelAPIError):
    """The server did not answer as it should; the message is one sentence with the cure."""


def open_client(endpoint: Endpoint, key: str | None) -> AsyncOpenAI:
    """Return a client of that server alone: it follows nobody who points to another one."""
    return AsyncOpenAI(
        base_url=endpoint.url,
        # The SDK would take OPENAI_API_KEY, which is not this server's business.
        api_key=key or "none",
        http_client=httpx2.AsyncClient(
            timeout=httpx2.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS),
            follow_redirects=False,
            # What is said to this machine must not go through a proxy.
            trust_env=not endpoint.is_local,
        ),
    )


class RemoteModel(OpenAIChatModel, StreamingModel):
    """Answers requests with a model of a server; many sessions may share it."""

    def __init__(
        self, name: str, endpoint: Endpoint, client: AsyncOpenAI, window: int | None
    ) -> None:
        """`name` is what the server calls it, `window` in tokens; None if nobody knows."""
        self.endpoint = endpoint
        profile = OpenAIModelProfile(
            # The prompt stays as our agent writes it, so that the server's cache of it holds.
            supports_inline_system_prompts=True,
            default_framing_announcement="never",
            supports_json_schema_output=False,
            supports_image_input=False,
            # Tools are described as they are, without what only OpenAI's own strict mode needs.
            json_schema_transformer=None,
            openai_supports_strict_tool_definition=False,
            # A stream that breaks off has no other sign.
            openai_chat_streaming_requires_finish_reason=True,
            # Where the templates of thinking models look for what was thought.
            openai_chat_thinking_field="reasoning_content",
            openai_chat_send_back_thinking_parts="field",
            # What every server takes; OpenAI's own newer models only take the other name.
            openai_chat_supports_max_completion_tokens=endpoint.host == _OPENAI,
        )
        if window is not None:
            profile["context_window"] = window
        super().__init__(
            name,
            provider=OpenAICompatibleProvider(PROVIDER, openai_client=client),
            profile=profile,
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Stream the response; leaving the context closes the connection.

        Raises `EndpointError`, and `ModelContextWindowExceededError` if the prompt is too long.
        """
        opened = super().request_stream(
            messages, model_settings, model_request_parameters, run_context
        )
        try:
            stream = await opened.__aenter__()
        except _FAULTS as error:
            raise self._told(error) from error
        try:
            yield stream
        finally:
            await opened.__aexit__(None, None, None)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the whole response; raises as `request_stream` does."""
        return await StreamingModel.request(
            self, messages, model_settings, model_request_parameters
        )

    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        told = self._told

        class RemoteStream(OpenAIStreamedResponse):
            async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
                try:
                    async for event in super()._get_event_iterator():
                        yield event
                except _FAULTS as error:
                    raise told(error, in_stream=True) from error

        return RemoteStream

    def _told(self, error: Exception, *, in_stream: bool = False) -> ModelAPIError:
        if isinstance(error, EndpointError):
            return error
        sentence = told(error, self.endpoint, self.model_name, in_stream=in_stream)
        if isinstance(error, ModelContextWindowExceededError):
            return ModelContextWindowExceededError(self.model_name, sentence)
        return EndpointError(self.model_name, sentence)


def told(error: Exception, endpoint: Endpoint, name: str, *, in_stream: bool = False) -> str:
    """Say in one sentence what a server did wrong, and what helps."""
    server = f"The server at {endpoint.url}"
    if isinstance(error, ModelHTTPError):
        return _status(error, server, name)
    if isinstance(error.__cause__, APIStatusError):
        code = error.__cause__.status_code
        return f"{server} points to another place ({code}); write that into openai_url."
    if isinstance(error, ModelContextWindowExceededError):
        return f"{server} says that the prompt is too long for {name}; set openai_context."
    if isinstance(error, ModelTimeoutError | httpx2.TimeoutException):
        return f"{server} did not answer in time; see whether it works, and try again."
    if in_stream:
        said = f" ({one_line(error)})" if type(error) is ModelAPIError and error.body else ""
        return f"{server} broke off in the middle of the answer{said}; try again."
    if isinstance(error, UnexpectedModelBehavior | ValidationError | ValueError):
        return f"{server} does not answer as an OpenAI-compatible one does; correct openai_url."
    return f"{server} cannot be reached; start it, or correct openai_url."


def _status(error: ModelHTTPError, server: str, name: str) -> str:
    code = error.status_code
    reason = one_line(reason_of(error.body) or "without a reason")
    if isinstance(error, ModelContextWindowExceededError):
        return (
            f"{server} says that the prompt is too long for {name} ({reason}); set openai_context."
        )
    match code:
        case 401 | 403:
            return (
                f"{server} does not accept the key ({code}); set {KEY_VARIABLE} or openai_key_file."
            )
        case 404:
            return (
                f"{server} has no model {name}, or nothing there (404: {reason}); "
                "`punie models list` shows what it has."
            )
        case 429:
            return f"{server} has too much to do (429: {reason}); try again later."
        case _ if code >= 500:
            return f"{server} failed ({code}: {reason}); see its log, and try again."
        case _:
            return f"{server} refuses the request ({code}: {reason})."
