"""The Model seam: a local MLX model as pydantic-ai sees it."""

import functools
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, assert_never

import anyio.to_thread
from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelAPIError, ModelContextWindowExceededError
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelResponseStreamEvent,
)
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from punie.models.mlx.chat_format import ChatFormat, Prompt, ToolSpecification
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import (
    Decoded,
    EngineError,
    Finished,
    GenerateRequest,
    Generation,
    Prefilled,
)
from punie.models.mlx.messages import MALFORMED, chat_messages
from punie.models.mlx.parser import (
    AnswerText,
    MalformedCall,
    ParserEvent,
    ResponseParser,
    ThoughtText,
    ToolCall,
)
from punie.models.mlx.renderer import TemplateError
from punie.models.streaming import StreamingModel

DEFAULT_CONTEXT_WINDOW = 32_768
"""Tokens, for a model whose config.json does not tell."""

PROVIDER = "mlx"


class MlxModel(StreamingModel):
    """Answers requests with a model in this process; many sessions may share it."""

    unsupported_settings = frozenset(
        {"presence_penalty", "frequency_penalty", "logit_bias", "parallel_tool_calls", "top_k"}
    )
    _announces_lookalike_notes = False

    def __init__(self, engine: Engine, chat_format: ChatFormat, name: str) -> None:
        self._engine = engine
        self._format = chat_format
        self._name = name
        self._window = context_window(engine.config)
        super().__init__(
            profile=ModelProfile(
                supports_tools=True,
                supports_json_schema_output=False,
                supports_image_input=False,
                supports_document_input=False,
                supports_audio_file_input=False,
                supports_video_input=False,
                # Kept as they are: wrapping would change the system prompt, the cached prefix.
                supports_inline_system_prompts=True,
                default_framing_announcement="never",
                supports_thinking=chat_format.can_switch_thinking,
                context_window=self._window,
            )
        )

    @property
    def model_name(self) -> str:
        """The model's reference in the catalogue."""
        return self._name

    @property
    def system(self) -> str:
        """The provider's name in messages and traces."""
        return PROVIDER

    @property
    def engine(self) -> Engine:
        """The engine that runs the model, for its counters."""
        return self._engine

    @property
    def chat_format(self) -> ChatFormat:
        """How the model reads and writes conversations."""
        return self._format

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Stream the response; leaving the context ends the generation.

        Raises `ModelContextWindowExceededError` if the prompt leaves no room for an answer, and
        `ModelAPIError` if the template refuses the messages or the engine fails.
        """
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        tools = [
            _specification(tool)
            for tool in [*parameters.declared_function_tools, *parameters.output_tools]
        ]
        prompt = await self._encode(messages, parameters, tools)
        request = self._generate_request(prompt, settings or {})
        try:
            async with self._engine.generate(request) as generation:
                yield MlxStream(
                    model_request_parameters=parameters,
                    generation=generation,
                    chat_format=self._format,
                    parser=self._format.parser(tools, in_thought=prompt.in_thought),
                    stops=tuple((settings or {}).get("stop_sequences") or ()),
                    name=self._name,
                )
        except EngineError as error:
            raise ModelAPIError(self._name, str(error)) from error

    async def prompt_tokens(
        self, messages: list[ModelMessage], model_request_parameters: ModelRequestParameters
    ) -> list[int]:
        """Return the token ids that a request with these messages sends to the engine."""
        _, parameters = self.prepare_request(None, model_request_parameters)
        tools = [
            _specification(tool)
            for tool in [*parameters.declared_function_tools, *parameters.output_tools]
        ]
        return (await self._encode(messages, parameters, tools)).tokens

    async def count_tokens(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> RequestUsage:
        """Count a request's prompt tokens without running the model."""
        tokens = await self.prompt_tokens(messages, model_request_parameters)
        return RequestUsage(input_tokens=len(tokens))

    async def _encode(
        self,
        messages: list[ModelMessage],
        parameters: ModelRequestParameters,
        tools: Sequence[ToolSpecification],
    ) -> Prompt:
        chat = chat_messages(messages, _instructions(messages, parameters))
        thinking = None if parameters.thinking is None else parameters.thinking is not False
        encode = functools.partial(self._format.encode, chat, tools, thinking=thinking)
        try:
            # A long history takes a while to encode, and the loop has other sessions to serve.
            return await anyio.to_thread.run_sync(encode)
        except TemplateError as error:
            raise ModelAPIError(self._name, str(error)) from error

    def _generate_request(self, prompt: Prompt, settings: ModelSettings) -> GenerateRequest:
        room = self._window - len(prompt.tokens)
        if room < 1:
            raise ModelContextWindowExceededError(
                self._name,
                f"The conversation has {len(prompt.tokens)} tokens and {self._name} reads at most "
                f"{self._window - 1}; start a new session or shorten it.",
            )
        return GenerateRequest(
            tokens=tuple(prompt.tokens),
            max_tokens=min(room, settings.get("max_tokens") or room),
            temperature=settings.get("temperature") or 0.0,
            top_p=settings.get("top_p", 1.0),
            stop_ids=self._format.stop_ids,
            seed=settings.get("seed"),
        )


@dataclass
class MlxStream(StreamedResponse):
    """One response on its way out of the engine."""

    generation: Generation
    chat_format: ChatFormat
    parser: ResponseParser
    stops: tuple[str, ...]
    name: str
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    _calls: int = field(default=0, init=False)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        decoder = self.chat_format.decoder()
        stops = _StopText(self.stops)
        async for event in self.generation:
            match event:
                case Prefilled():
                    pass
                case Decoded(tokens=tokens):
                    self._usage.output_tokens += len(tokens)
                    text = stops.feed(decoder.feed(tokens))
                    for part in self._handle(self.parser.feed(text)):
                        yield part
                    if stops.hit:
                        self.generation.cancel()  # and wait for the counts
                case Finished():
                    self._finish(event)
                case _:
                    assert_never(event)
        if self.cancelled:
            return
        if not stops.hit:
            rest = stops.feed(decoder.finish()) + stops.finish()
            for part in self._handle(self.parser.feed(rest)):
                yield part
        for part in self._handle(self.parser.finish()):
            yield part
        if self.finish_reason != "length":
            self.finish_reason = "tool_call" if self._calls else "stop"

    def _finish(self, end: Finished) -> None:
        self._usage = RequestUsage(
            input_tokens=end.prompt, cache_read_tokens=end.cached, output_tokens=end.output
        )
        self.finish_reason = "length" if end.reason == "length" else None

    def _handle(self, events: Iterable[ParserEvent]) -> Iterator[ModelResponseStreamEvent]:
        for event in events:
            match event:
                case AnswerText(text=text):
                    yield from self._parts_manager.handle_text_delta(
                        vendor_part_id=None, content=text
                    )
                case ThoughtText(text=text):
                    yield from self._parts_manager.handle_thinking_delta(
                        vendor_part_id=None, content=text
                    )
                case ToolCall(name=name, arguments=arguments):
                    yield self._tool_call(name, arguments)
                case MalformedCall(name=name, reason=reason, raw=raw):
                    # Not JSON, so validation fails and the model is told what it wrote and why
                    # it cannot be used.
                    yield self._tool_call(name or "unknown", f"{MALFORMED}: {reason}\n{raw}")
                case _:
                    assert_never(event)

    def _tool_call(self, name: str, arguments: dict[str, Any] | str) -> ModelResponseStreamEvent:
        self._calls += 1
        return self._parts_manager.handle_tool_call_part(
            vendor_part_id=None,
            tool_name=name,
            args=arguments,
            tool_call_id=f"call_{uuid.uuid4().hex}",
        )

    async def close_stream(self) -> None:
        """End the generation after the step that is running."""
        self.generation.cancel()

    @property
    def model_name(self) -> str:
        """The model's reference in the catalogue."""
        return self.name

    @property
    def provider_name(self) -> str:
        """The provider's name in messages."""
        return PROVIDER

    @property
    def provider_url(self) -> None:
        """None: there is no server."""

    @property
    def timestamp(self) -> datetime:
        """When the response was begun."""
        return self.created


class _StopText:
    """Cuts a stream of text at the first stop sequence; `hit` tells that one was found."""

    def __init__(self, sequences: tuple[str, ...]) -> None:
        self._sequences = tuple(sequence for sequence in sequences if sequence)
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        if not self._sequences or self.hit:
            return "" if self.hit else text
        self._held += text
        found = [at for word in self._sequences if (at := self._held.find(word)) >= 0]
        if found:
            self.hit = True
            return self._held[: min(found)]
        longest = max(len(word) for word in self._sequences) - 1
        keep = next(
            (
                size
                for size in range(min(longest, len(self._held)), 0, -1)
                if any(word.startswith(self._held[-size:]) for word in self._sequences)
            ),
            0,
        )
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def finish(self) -> str:
        text, self._held = self._held, ""
        return text


def context_window(config: dict[str, Any]) -> int:
    """Return how many tokens a model reads, from the content of its config.json."""
    for place in (config, config.get("text_config") or {}):
        if isinstance(length := place.get("max_position_embeddings"), int):
            return length
    return DEFAULT_CONTEXT_WINDOW


def _instructions(messages: list[ModelMessage], parameters: ModelRequestParameters) -> str | None:
    if parameters.instruction_parts is not None:
        return InstructionPart.join(parameters.instruction_parts) or None
    # A direct request, outside an agent, has them in the history only.
    requests = [message for message in messages if isinstance(message, ModelRequest)]
    return next((r.instructions for r in reversed(requests) if r.instructions is not None), None)


def _specification(tool: ToolDefinition) -> ToolSpecification:
    return ToolSpecification(tool.name, tool.description or "", tool.parameters_json_schema)
