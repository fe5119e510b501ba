"""A model whose answers come from a JSON file, to drive the real program deterministically."""

import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
)
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from punie.models.catalog import ModelUnavailable
from punie.models.streaming import StreamingModel
from punie.models.traits import Effort

SCRIPT_OVER = "The script is over."
CONTEXT_WINDOW = 32_768
"""Tokens; a script has no real window, front ends want a number to show."""


class ScriptedCall(BaseModel):
    """One tool call of a prepared response."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ScriptedResponse(BaseModel):
    """One prepared response: `delay` is in seconds and comes before each of the `chunks`.

    The arguments of a call come in `argument_chunks` as JSON text, or whole if there is only one.
    `finish` says why the model stopped, where that is not the usual reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = ""
    thought: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    delay: float = Field(default=0.0, ge=0)
    chunks: int = Field(default=4, ge=1)
    argument_chunks: int = Field(default=1, ge=1)
    finish: Literal["length", "content_filter", "error"] | None = None


class Script(BaseModel):
    """The whole file; `repeat` starts over after the last response.

    With `thinking` the model's thinking can be switched, or set to the levels that are listed;
    thoughts are left out while it is off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    responses: tuple[ScriptedResponse, ...]
    repeat: bool = False
    thinking: bool | tuple[Effort, ...] = False

    def response(self, number: int) -> ScriptedResponse:
        """Return response `number`, counted from 0 through the whole history."""
        if self.repeat and self.responses:
            return self.responses[number % len(self.responses)]
        if number < len(self.responses):
            return self.responses[number]
        return ScriptedResponse(text=SCRIPT_OVER)


def load_script(path: Path) -> Script:
    """Read a script; raise `ModelUnavailable` with the first fault in it."""
    try:
        return Script.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelUnavailable(
            f"The script {path} cannot be read: {error.strerror or error}; name a readable file."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelUnavailable(
            f"The script {path} is not valid: {where}: {first['msg']}; correct it there."
        ) from error


class ScriptedModel(StreamingModel):
    """Answers with the script's responses; which one is the number of responses in the history.

    So a session that is loaded again goes on where it was.
    """

    def __init__(self, script: Script, name: str = "scripted") -> None:
        super().__init__(
            profile=ModelProfile(
                supports_tools=True,
                supports_inline_system_prompts=True,
                default_framing_announcement="never",
                context_window=CONTEXT_WINDOW,
                supports_thinking=bool(script.thinking),
            )
        )
        self._script = script
        self._name = name

    @property
    def model_name(self) -> str:
        """The reference of the script."""
        return self._name

    @property
    def system(self) -> str:
        """The provider's name in messages and traces."""
        return "scripted"

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Stream the response that is due in its chunks."""
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        number = sum(isinstance(message, ModelResponse) for message in messages)
        response = self._script.response(number)
        if parameters.thinking is False:
            response = response.model_copy(update={"thought": ""})
        yield ScriptedStream(
            model_request_parameters=parameters,
            response=response,
            name=self._name,
            prompt_tokens=_tokens(messages),
        )

    async def count_tokens(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> RequestUsage:
        """Count the tokens of a request as its usage will."""
        return RequestUsage(input_tokens=_tokens(messages))


@dataclass
class ScriptedStream(StreamedResponse):
    """One response of the script on its way out."""

    response: ScriptedResponse
    name: str
    prompt_tokens: int
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        response = self.response
        written = len(response.text) + len(response.thought)
        self._usage = RequestUsage(
            input_tokens=self.prompt_tokens, output_tokens=max(1, written // 4)
        )
        for piece in _pieces(response.thought, response.chunks):
            await self._pause()
            if self.cancelled:
                return
            for event in self._parts_manager.handle_thinking_delta(
                vendor_part_id="thought", content=piece
            ):
                yield event
        for piece in _pieces(response.text, response.chunks):
            await self._pause()
            if self.cancelled:
                return
            for event in self._parts_manager.handle_text_delta(
                vendor_part_id="text", content=piece
            ):
                yield event
        for call in response.calls:
            call_id = f"call_{uuid.uuid4().hex}"
            if response.argument_chunks == 1:
                await self._pause()
                if self.cancelled:
                    return
                yield self._parts_manager.handle_tool_call_part(
                    vendor_part_id=call_id,
                    tool_name=call.tool,
                    args=call.arguments,
                    tool_call_id=call_id,
                )
                continue
            arguments = json.dumps(call.arguments, ensure_ascii=False)
            name: str | None = call.tool
            for piece in ("", *_pieces(arguments, response.argument_chunks)):
                await self._pause()
                if self.cancelled:
                    return
                for event in self._parts_manager.handle_tool_call_delta_events(
                    vendor_part_id=call_id, tool_name=name, args=piece, tool_call_id=call_id
                ):
                    yield event
                name = None
        self.finish_reason = response.finish or ("tool_call" if response.calls else "stop")

    async def _pause(self) -> None:
        # Always a checkpoint, so that a response without delays can be cancelled too.
        await anyio.sleep(self.response.delay)

    async def close_stream(self) -> None:
        """Nothing to close: the iterator looks at `cancelled` before each piece."""

    @property
    def model_name(self) -> str:
        """The reference of the script."""
        return self.name

    @property
    def provider_name(self) -> str:
        """The provider's name in messages."""
        return "scripted"

    @property
    def provider_url(self) -> None:
        """None: there is no server."""

    @property
    def timestamp(self) -> datetime:
        """When the response was begun."""
        return self.created


def _tokens(messages: Sequence[ModelMessage]) -> int:
    """Return four characters a token; instructions and tools are not counted."""
    return sum(_size(part) for message in messages for part in message.parts) // 4


def _size(part: ModelRequestPart | ModelResponsePart) -> int:
    content = getattr(part, "content", None)
    return len(content) if isinstance(content, str) else 0


def _pieces(text: str, count: int) -> list[str]:
    """Cut `text` into at most `count` pieces of about the same length."""
    if not text:
        return []
    size = -(-len(text) // count)
    return [text[start : start + size] for start in range(0, len(text), size)]
