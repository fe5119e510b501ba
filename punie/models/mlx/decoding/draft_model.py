"""A small model that guesses ahead for a large one with the same tokens.

Its own keys and values are kept like the large model's, so that it too reads only what is new.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache

from punie.models.architecture import text_config
from punie.models.catalog import ModelUnavailable
from punie.models.mlx.decoding.sampling import Sampler, token_of
from punie.models.mlx.decoding.speculation import NO_DRAFT, Draft, DraftControl
from punie.models.mlx.generation import GenerateRequest
from punie.models.mlx.library import load_model
from punie.models.mlx.prefixes.cache import PrefixCache
from punie.models.mlx.prefixes.entry import Slot
from punie.models.tokens import read_token_ids

_EVIDENCE = 8


class DraftModel:
    """A draft model in memory; belongs to the engine's thread."""

    def __init__(
        self,
        directory: Path,
        tokenizer_of: Path,
        vocabulary: int | None,
        cache_bytes: int,
        control: DraftControl | None = None,
    ) -> None:
        """Load the model in `directory`; raise `ModelUnavailable` if it cannot draft.

        `tokenizer_of` is the directory of the model that it drafts for, and `vocabulary` the width
        of that model's logits. Siblings of one family round theirs up to different widths. With a
        `control`, which then judges its drafts, no others are made.
        """
        if read_token_ids(directory) != read_token_ids(tokenizer_of):
            raise ModelUnavailable(
                f"The draft model in {directory} has other tokens than the model it should "
                "draft for; choose one of the same family, or remove draft_model."
            )
        try:
            self._model, config = load_model(directory)
        except Exception as error:
            raise ModelUnavailable(
                f"The draft model in {directory} cannot be loaded ({error}); "
                "download or convert it again, or remove draft_model."
            ) from error
        if not can_trim_prompt_cache(make_prompt_cache(self._model)):
            raise ModelUnavailable(
                f"The draft model in {directory} cannot take tokens back; choose one without "
                "linear attention, or remove draft_model."
            )
        self.prefixes = PrefixCache(lambda: make_prompt_cache(self._model), cache_bytes)
        self.control = control or DraftControl()
        self.alone = control is not None
        self._width = _Width(text_config(config).get("vocab_size"), vocabulary)

    def drafter(self, request: GenerateRequest, sampler: Sampler) -> "ModelDrafter":
        """Return what drafts for the response to a request; put it back with `release`."""
        slot = self.prefixes.take(request.tokens, request.owner)
        return ModelDrafter(self._model, slot, request.tokens, sampler, self._width)

    def release(self, drafter: "ModelDrafter", owner: str | None) -> None:
        """Keep what a drafter has read."""
        self.prefixes.put(drafter.slot, "session", owner)


@dataclass(frozen=True)
class _Width:
    """How many tokens a draft model and its large model know; None is not told.

    MLX does not check bounds, so neither may be given a token that only the other one has.
    """

    own: int | None
    other: int | None

    def known(self, tokens: Sequence[int]) -> list[int]:
        """Return tokens as the draft model may read them."""
        own = self.own
        return list(tokens) if own is None else [token if token < own else 0 for token in tokens]


class ModelDrafter:
    """Drafts for one response; a `Drafter`."""

    def __init__(
        self, model: Any, slot: Slot, prompt: Sequence[int], sampler: Sampler, width: _Width
    ) -> None:
        self._model = model
        self._width = width
        self._sampler = sampler
        self._certain = list(prompt)
        self._prompt_length = len(prompt)
        self.slot = slot

    @property
    def unread(self) -> int:
        """How many tokens of what is certain it has not read, the last one aside."""
        return max(0, len(self._certain) - 1 - len(self.slot.tokens))

    def read(self, size: int) -> None:
        """Read up to `size` of the certain tokens."""
        start = len(self.slot.tokens)
        chunk = self._certain[start : min(start + size, len(self._certain) - 1)]
        self._model(mx.array(self._width.known(chunk))[None], cache=self.slot.layers)
        mx.eval([layer.state for layer in self.slot.layers])
        self.slot.tokens.extend(chunk)

    def extend(self, tokens: Sequence[int]) -> None:
        """Take certain tokens of the response."""
        self._certain.extend(tokens)

    def catch_up(self, certain: Sequence[int]) -> None:
        """Take all tokens that are certain, after a while in which it was not told."""
        self._certain = list(certain)

    def evidence(self) -> int:
        """Return a constant: it always has a guess, and its record tells how good they are."""
        return _EVIDENCE

    def propose(self, limit: int) -> Draft:
        """Return a draft, chosen with the same noise as the large model's tokens will be."""
        if limit < 1:
            return NO_DRAFT
        self._go_back()
        inputs = self._certain[len(self.slot.tokens) :]
        position = len(self._certain) - self._prompt_length
        drafted: list[int] = []
        while True:
            known = mx.array(self._width.known(inputs))
            logits = self._model(known[None], cache=self.slot.layers)[0, -1:, : self._width.other]
            self.slot.tokens.extend(inputs)
            drafted.append(token_of(self._sampler.sample(logits, [position])))
            if len(drafted) == limit:
                return Draft(tuple(drafted), _EVIDENCE)
            inputs = drafted[-1:]
            position += 1

    def _go_back(self) -> None:
        """Forget what it read of drafts that were wrong; one certain token stays to be read."""
        held = self.slot.tokens
        # Only the end can differ: at most one draft was read beyond what was certain then.
        same = min(len(held), len(self._certain) - 1)
        while same > 0 and held[same - 1] != self._certain[same - 1]:
            same -= 1
        for layer in self.slot.layers:
            layer.trim(len(held) - same)
        del held[same:]
