"""Keeps what the model reads within its context window."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic_ai.messages import (
    ModelMessage,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters

from punie.tools.base import ToolLimits

CHARS_PER_TOKEN = 3
MAX_RESULT_CHARS = 16_000
_MIN_RESULT_CHARS = 400
# After a compaction the history fills at most this share of its room, so that many requests pass
# before the next one and the processed prefix stays valid in between.
_AFTER_COMPACTION = 0.5
_MESSAGE_OVERHEAD = 16


def context_window(model: Model) -> int | None:
    """Return the model's context window in tokens, or None if the model does not say."""
    window = model.profile.get("context_window")
    return window if isinstance(window, int) and window > 0 else None


def fit_limits(limits: ToolLimits, window: int | None) -> ToolLimits:
    """Return limits under which one tool result takes about a quarter of the window at most."""
    if window is None:
        return limits
    derived = max(_MIN_RESULT_CHARS, min(MAX_RESULT_CHARS, window // 4 * CHARS_PER_TOKEN))
    return replace(limits, result_chars=min(limits.result_chars, derived))


def message_chars(message: ModelMessage) -> int:
    """Return roughly how many characters of the prompt a message takes."""
    size = _MESSAGE_OVERHEAD
    for part in message.parts:
        match part:
            case TextPart() | ThinkingPart():
                size += len(part.content)
            case ToolCallPart():
                size += len(part.tool_name) + len(part.args_as_json_str()) + _MESSAGE_OVERHEAD
            case ToolReturnPart():
                size += len(part.model_response_str()) + _MESSAGE_OVERHEAD
            case UserPromptPart():
                size += len(part.content) if isinstance(part.content, str) else 0
            case _:
                pass
    return size


@dataclass(frozen=True)
class Fill:
    """How full a model's window is, in tokens, about.

    `used` is what the next request takes, `per_char` what a character of a message does. The
    request fits up to `limit`; after a compaction it is to take `target` at most.
    """

    used: float
    per_char: float
    limit: float
    target: float


@dataclass(frozen=True)
class Budget:
    """The room that a model's window leaves for messages.

    `parameters` are what every request says besides them. `reserve` tokens are kept for the answer.
    Tokens are taken from the model where it can count them and estimated at three characters each
    otherwise.
    """

    model: Model
    parameters: ModelRequestParameters
    reserve: int | None

    @property
    def room(self) -> int | None:
        """Tokens that a request may take; None where the model's window is not known."""
        window = context_window(self.model)
        return None if window is None else window - min(self.reserve or window // 4, window // 4)

    async def overfull(
        self, messages: Sequence[ModelMessage], prompt: ModelMessage | None
    ) -> Fill | None:
        """Return how full the window is if the next request would not fit, else None."""
        room = self.room
        if room is None:
            return None
        sizes = [message_chars(message) for message in messages]
        used = await self._tokens(messages, sum(sizes), room)
        if used <= room:
            return None
        # What stays in any case: the instructions, the tools and the prompt.
        kept = [message for message in messages if message is prompt]
        kept_chars = sum(message_chars(message) for message in kept)
        base = await self._tokens(kept, kept_chars, 0)
        per_char = (used - base) / max(1, sum(sizes) - kept_chars)
        target = base + max(room - base, 0) * _AFTER_COMPACTION
        return Fill(used, per_char, limit=room, target=target)

    async def _tokens(self, messages: Sequence[ModelMessage], chars: int, room: int) -> float:
        chars += self._fixed_chars()
        # One token per character is the worst that ordinary text can do (digits do it).
        if chars <= room:
            return chars / CHARS_PER_TOKEN
        try:
            usage = await self.model.count_tokens(list(messages), None, self.parameters)
        except NotImplementedError:
            return chars / CHARS_PER_TOKEN
        return usage.input_tokens

    def _fixed_chars(self) -> int:
        instructions = sum(len(part.content) for part in self.parameters.instruction_parts or ())
        return instructions + sum(
            len(tool.name) + len(tool.description or "") + len(str(tool.parameters_json_schema))
            for tool in self.parameters.function_tools
        )
