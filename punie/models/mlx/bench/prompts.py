"""Prompts of a certain length that nobody has read before."""

import random

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from punie.models.mlx.model import MlxModel

LENGTHS = (256, 1_024, 4_096, 16_384)
"""Lengths in tokens at which reading is measured, as many as the model's window holds."""

_ROOM = 32
SENTENCE = "Question {number}: {number} and {other} files lie in the folder; how many are left? "


class NewPrompts:
    """Makes prompts that share no beginning with each other, nor with those of an earlier run.

    A server that has run for days may still hold what it was asked yesterday.
    """

    def __init__(self, model: MlxModel) -> None:
        self._model = model
        self._rng = random.SystemRandom()

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths that the model's window has room for."""
        window = self._model.profile.get("context_window") or 0
        return tuple(length for length in LENGTHS if length + _ROOM <= window)

    async def of(self, tokens: int) -> list[ModelMessage]:
        """Return a prompt of `tokens` tokens at most, and hardly fewer, as the model counts."""
        words = self._words(max(1, tokens // 8))
        low, high = 1, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            count = len(await self._model.prompt_tokens(self._prompt(words[:middle]), _PLAIN))
            low, high = (middle, high) if count <= tokens else (low, middle - 1)
        return self._prompt(words[:low])

    def _words(self, sentences: int) -> list[str]:
        numbers = [self._rng.randrange(100, 1_000) for _ in range(2 * sentences)]
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        text = " ".join(SENTENCE.format(number=one, other=two) for one, two in pairs)
        # The first word is what makes it a new prompt.
        return [f"{self._rng.randrange(10**8):,}.", *text.split()]

    def _prompt(self, words: list[str]) -> list[ModelMessage]:
        return [ModelRequest(parts=[UserPromptPart(" ".join(words))])]


_PLAIN = ModelRequestParameters()
