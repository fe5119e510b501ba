"""The Model seam: a local MLX model as pydantic-ai sees it."""

import copy
import functools
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio.to_thread
from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelAPIError, ModelContextWindowExceededError
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from punie.models.architecture import context_window
from punie.models.mlx.chat.messages import chat_messages
from punie.models.mlx.chat.renderer import TemplateError
from punie.models.mlx.chat_format import ChatFormat, Prompt, ToolSpecification
from punie.models.mlx.decoding.sampling import Sampling
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import EngineError, GenerateRequest
from punie.models.mlx.guidance.call_guide import CallGrammar
from punie.models.mlx.prefixes.entry import Kind
from punie.models.mlx.stream import PROVIDER, MlxStream
from punie.models.streaming import ModelUse, StreamingModel, spoken_progress
from punie.models.traits import Thinking

_log = logging.getLogger(__name__)


_THOUGHT_TOKENS: dict[Thinking, int] = {"minimal": 256, "low": 1024, "medium": 4096}


class MlxModel(StreamingModel):
    """Answers requests with a model in this process; many sessions may share it."""

    unsupported_settings = frozenset(
        {"presence_penalty", "frequency_penalty", "logit_bias", "parallel_tool_calls"}
    )
    _announces_lookalike_notes = False

    def __init__(
        self,
        engine: Engine,
        chat_format: ChatFormat,
        grammar: CallGrammar,
        name: str,
        sampling: Sampling,
    ) -> None:
        """`sampling` is how the model's own files say that tokens are chosen."""
        self._engine = engine
        self._grammar = grammar
        self._sampling = sampling
        self._use = ModelUse()
        self._format = chat_format
        self._name = name
        published, held = context_window(engine.config), engine.most_tokens
        # What memory cannot hold is as good as outside: then too old messages go before it is full.
        self._is_short = held is not None and held < published
        self._window = held if held is not None and self._is_short else published
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
                supports_thinking=bool(chat_format.traits.thinking_levels),
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
    def peak_memory(self) -> int:
        """Bytes that the engine held at most."""
        return self._engine.peak_memory

    def used_by(self, use: ModelUse) -> "MlxModel":
        """Return this model as one session uses it."""
        view = copy.copy(self)
        view._use = use
        return view

    async def read_ahead(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> None:
        """Let the model read everything up to the person's next message.

        So the first turn of a session does not wait for the system prompt, and where a template
        drops the thoughts of a turn that is over, the next turn does not wait for the rest of it
        to be read anew. It runs behind everything that a person waits for; trouble is left to the
        next turn.
        """
        if messages and self._format.keeps_thoughts:
            return  # The conversation is known as it will be.
        next_message = ModelRequest(parts=[UserPromptPart("")])
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        tools = {tool.name: tool.parameters for tool in _tools(parameters)}
        await anyio.to_thread.run_sync(self._grammar.prepare, tools, self._format.syntax)
        try:
            prompt = await self._encode([*messages, next_message], parameters, _tools(parameters))
            request = self._reading_request(prompt, bool(messages))
            if request is None:
                return
            async with self._engine.generate(request) as generation:
                async for _ in generation:
                    pass
        except (EngineError, ModelAPIError):
            _log.info("nothing was read ahead", exc_info=True)

    def _reading_request(self, prompt: Prompt, is_conversation: bool) -> GenerateRequest | None:
        places = prompt.checkpoints
        length = places.question if is_conversation else places.system
        if not 0 < length < min(self._window, len(prompt.tokens)):
            return None
        system: tuple[int, Kind] = (places.system, "system")
        question: tuple[int, Kind] = (length, "turn")
        return GenerateRequest(
            tokens=tuple(prompt.tokens[: length + 1]),
            max_tokens=0,
            owner=self._use.owner if is_conversation else None,
            priority="background",
            checkpoints=(system, question) if is_conversation else (system,),
        )

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
        tools = _tools(parameters)
        prompt = await self._encode(messages, parameters, tools)
        request = self._generate_request(prompt, settings or {}, parameters.thinking, tools)
        say = self._use.say
        if say is not None and self._engine.is_asleep:
            await say("Loading the model again…")
        try:
            async with self._engine.generate(request) as generation:
                yield MlxStream(
                    model_request_parameters=parameters,
                    generation=generation,
                    chat_format=self._format,
                    parser=self._format.parser(tools, in_thought=prompt.in_thought),
                    stops=tuple((settings or {}).get("stop_sequences") or ()),
                    name=self._name,
                    on_progress=None if say is None else spoken_progress(say),
                )
        except EngineError as error:
            raise ModelAPIError(self._name, str(error)) from error

    async def prompt_tokens(
        self, messages: list[ModelMessage], model_request_parameters: ModelRequestParameters
    ) -> list[int]:
        """Return the token ids that a request with these messages sends to the engine."""
        _, parameters = self.prepare_request(None, model_request_parameters)
        return (await self._encode(messages, parameters, _tools(parameters))).tokens

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
        encode = functools.partial(self._format.encode, chat, tools, thinking=parameters.thinking)
        try:
            # A long history takes a while to encode, and the loop has other sessions to serve.
            return await anyio.to_thread.run_sync(encode)
        except TemplateError as error:
            raise ModelAPIError(self._name, str(error)) from error

    def _generate_request(
        self,
        prompt: Prompt,
        settings: ModelSettings,
        thinking: Thinking | None,
        tools: Sequence[ToolSpecification],
    ) -> GenerateRequest:
        room = self._window - len(prompt.tokens)
        if room < 1:
            raise ModelContextWindowExceededError(self._name, self._too_long(len(prompt.tokens)))
        checkpoints = prompt.checkpoints
        max_tokens = min(room, settings.get("max_tokens") or room)
        schemas = {tool.name: tool.parameters for tool in tools}
        # The first call of a response comes after the prompt is read; it is ready by then.
        self._grammar.prepare_aside(schemas, self._format.syntax)
        return GenerateRequest(
            tokens=tuple(prompt.tokens),
            max_tokens=max_tokens,
            guide=self._grammar.guide(
                schemas if self._use.guided else {},
                self._format.syntax,
                in_thought=prompt.in_thought,
                thinking_budget=_thinking_budget(max_tokens, thinking),
            ),
            sampling=self._chosen_sampling(settings),
            stop_ids=self._format.stop_ids,
            owner=self._use.owner,
            priority="watched" if self._use.watched else "background",
            speculate=self._use.speculate,
            checkpoints=(
                (checkpoints.system, "system"),
                (checkpoints.turn, "turn"),
                (checkpoints.message, "message"),
            ),
        )

    def _too_long(self, tokens: int) -> str:
        if self._is_short:
            return (
                f"The conversation has {tokens:,} tokens and there is memory for "
                f"{max(0, self._window - 1):,}; shorten it, start a new session, close other "
                "programs or choose a smaller model."
            )
        return (
            f"The conversation has {tokens} tokens and {self._name} reads at most "
            f"{self._window - 1}; start a new session or shorten it."
        )

    def _chosen_sampling(self, settings: ModelSettings) -> Sampling:
        chosen = replace(self._sampling, seed=settings.get("seed"))
        if (temperature := settings.get("temperature")) is not None:
            chosen = replace(chosen, temperature=temperature)
        if (top_p := settings.get("top_p")) is not None:
            chosen = replace(chosen, top_p=top_p)
        if (top_k := settings.get("top_k")) is not None:
            chosen = replace(chosen, top_k=top_k)
        return chosen


def _thinking_budget(max_tokens: int, thinking: Thinking | None) -> int:
    """Return how many tokens a response may think; what is left is for its answer."""
    most = max_tokens // 2
    return min(most, _THOUGHT_TOKENS.get(thinking, most)) if isinstance(thinking, str) else most


def _tools(parameters: ModelRequestParameters) -> list[ToolSpecification]:
    return [
        ToolSpecification(tool.name, tool.description or "", tool.parameters_json_schema)
        for tool in [*parameters.declared_function_tools, *parameters.output_tools]
    ]


def _instructions(messages: list[ModelMessage], parameters: ModelRequestParameters) -> str | None:
    if parameters.instruction_parts is not None:
        return InstructionPart.join(parameters.instruction_parts) or None
    # A direct request, outside an agent, has them in the history only.
    requests = [message for message in messages if isinstance(message, ModelRequest)]
    return next((r.instructions for r in reversed(requests) if r.instructions is not None), None)
