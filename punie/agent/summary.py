"""A summary of the oldest turns, by the model itself, before they leave its context."""

import logging
from dataclasses import dataclass

from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from punie.agent.budget import CHARS_PER_TOKEN, context_window, message_chars
from punie.agent.history import SUMMARY_HEAD
from punie.agent.project_guides import latest_guides
from punie.agent.toolset import turn_parameters
from punie.agent.turn_config import TurnConfig
from punie.tools.wording import cut

MOST_TOKENS = 800
"""Tokens of a summary; less where the model's window is small."""

SMALLEST_WINDOW = 8_000
"""Models that can read less tokens than this are not asked for summaries."""

_REQUEST = (
    "Your context is full, and the conversation above will be removed from it. Sum it up for "
    "yourself, in at most {} words and without calling tools: what the user wants and decided, "
    "what you found and changed (with paths and names), what failed, and what is left to do."
)
_KEEP = " Above all, keep this: {}"
_WINDOW_SHARE = 16
_SHORTER = 3
_LEAST_TOKENS = 40
_CHARS_PER_TOKEN = 6
_WORDS_PER_TOKEN = 0.6

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summariser:
    """Asks the session's model for summaries, with the parameters and settings of its turns.

    So the request begins as the requests before it did, and the model need not read that again.
    `keep` is what the person wants kept.
    """

    model: Model
    parameters: ModelRequestParameters
    settings: ModelSettings
    keep: str = ""

    @classmethod
    def of_turn(cls, config: TurnConfig, keep: str = "") -> "Summariser":
        """Return one for a session whose turns run on this."""
        return cls(
            config.model,
            turn_parameters(config.tools, config.instructions),
            config.request_settings,
            keep,
        )

    @property
    def makes_summaries(self) -> bool:
        """Whether the model is one that is asked at all."""
        window = context_window(self.model)
        return window is None or window >= SMALLEST_WINDOW

    async def stand_in(self, messages: list[ModelMessage], count: int) -> str:
        """Return the message that is to stand in place of the first `count` of these.

        It is a summary, and their guides, where no later one says more. The guides come without a
        summary if the model makes none; "" if there are none either.
        """
        said = await self._summary(messages[:count])
        later = latest_guides(messages[count:])
        gone = latest_guides(messages[:count])
        guides = "\n\n".join(text for name, text in gone.items() if name not in later)
        head = SUMMARY_HEAD + (f"Your summary of it:)\n\n{said}" if said else "What stays of it:)")
        parts = [head, guides] if guides else [head] if said else []
        return "\n\n".join(parts)

    async def _summary(self, messages: list[ModelMessage]) -> str:
        if not self.makes_summaries:
            return ""
        window = context_window(self.model)
        most = MOST_TOKENS if window is None else min(MOST_TOKENS, window // _WINDOW_SHARE)
        # Of little there is little to say; a summary must not be longer than what it is of.
        held = sum(message_chars(message) for message in messages) // CHARS_PER_TOKEN
        most = max(min(most, held // _SHORTER), _LEAST_TOKENS)
        text = _REQUEST.format(int(most * _WORDS_PER_TOKEN))
        if self.keep:
            text += _KEEP.format(self.keep)
        request = ModelRequest(parts=[UserPromptPart(content=text)])
        settings = self.settings.copy()
        # Thoughts come out of the same allowance.
        settings["max_tokens"] = most if settings.get("thinking") is False else most * 2
        try:
            async with model_request_stream(
                self.model,
                [*messages, request],
                model_settings=settings,
                model_request_parameters=self.parameters,
            ) as stream:
                async for _ in stream:
                    pass
            said = (stream.get().text or "").strip()
        except Exception:
            _log.exception("the model made no summary")
            return ""
        return cut(said, most * _CHARS_PER_TOKEN)
