"""One response under way, on the engine's thread: what is known and what the model has read."""

from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from punie.models.memory import KvQuantization
from punie.models.mlx.decoding.draft_model import ModelDrafter
from punie.models.mlx.decoding.sampling import Sampler
from punie.models.mlx.generation import Finished, FinishReason, Generation, Prefilled
from punie.models.mlx.prefixes.entry import Kind, Slot


@dataclass
class TokenSequence:
    """A prompt and its response; `slot` holds the keys and values of `slot.tokens`.

    `unread` are tokens that are certain and not in the slot yet: at first the prompt's rest.
    """

    generation: Generation
    slot: Slot
    sampler: Sampler
    checkpoints: list[tuple[int, Kind]] = field(default_factory=list)
    """Positions ahead at which a copy of the cache is kept, in order."""
    unread: list[int] = field(default_factory=list)
    cached: int = 0
    prefilled: int = 0
    output: int = 0
    passes: int = 0
    reason: FinishReason | None = None
    reserved: int = 0
    """Bytes that the cache may come to take."""
    packing: KvQuantization | None = None
    drafter: ModelDrafter | None = None
    """The draft model's side of the response, if there is such a model."""

    def __post_init__(self) -> None:
        prompt = self.generation.request.tokens
        self.cached = len(self.slot.tokens)
        self.unread = list(prompt[self.cached :])

    @property
    def layers(self) -> list[Any]:
        """The model's cache, one entry for each layer."""
        return self.slot.layers

    @property
    def prompt_length(self) -> int:
        """Tokens of the prompt."""
        return len(self.generation.request.tokens)

    def feed(self, model: Any, tokens: list[int] | mx.array) -> mx.array:
        """Run the model on the next tokens, lazily; return logits (N, V), one row per token.

        The caller says with `note_read` what the tokens were, once that is known.
        """
        inputs = mx.array(tokens) if isinstance(tokens, list) else tokens
        logits: mx.array = model(inputs[None], cache=self.layers)
        self.passes += 1
        return logits.squeeze(0)

    def note_read(self, tokens: list[int]) -> None:
        """Take note that the slot holds these tokens now."""
        self.slot.tokens.extend(tokens)

    def report_prefilled(self, count: int) -> None:
        """Count prompt tokens that went through the model and tell the consumer."""
        self.prefilled += count
        self.generation.post(Prefilled(len(self.slot.tokens), self.prompt_length))

    def write(self, tokens: list[int]) -> int:
        """Hand decided tokens to the consumer; return how many of them belong to the response.

        Sets `reason` at a token that ends the turn, which is counted as belonging but not handed
        on, and at the limit of tokens.
        """
        request = self.generation.request
        for index, token in enumerate(tokens):
            if token in request.stop_ids:
                self.reason = "stop"
                return index + 1
            self.output += 1
            self.generation.post(token)
            if self.output >= request.max_tokens:
                self.reason = "length"
                return index + 1
        return len(tokens)

    def finished(self) -> Finished:
        """Return the last event."""
        return Finished(
            self.reason or "cancelled",
            self.prompt_length,
            self.cached,
            self.prefilled,
            self.output,
            self.passes,
        )


@dataclass(frozen=True)
class Pending:
    """Where a response stands between two passes.

    The next token follows from `logits` (1, V), unless it is `known`, or `certain` tokens that
    the grammar forces have to be read first.
    """

    logits: mx.array
    known: int | None
    certain: list[int]
