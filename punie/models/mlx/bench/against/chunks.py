"""The chunks in which OpenAI-compatible servers stream an answer, as far as they matter here."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field

from punie.models.endpoint import one_line, reason_of
from punie.models.mlx.bench.sides import Call, Counts, Piece


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(BaseModel):
    index: int | None = None
    function: _Function = Field(default_factory=_Function)


class _Delta(BaseModel):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(BaseModel):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Details(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Details | None = None


class _Chunk(BaseModel):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


@dataclass
class Arriving:
    """An answer of which chunks come; `error` is why the server gave up, if it says so."""

    counts: Counts | None = None
    has_begun: bool = False
    has_ended: bool = False
    error: str | None = None
    _calls: dict[int, list[str]] = field(default_factory=dict)

    def take(self, data: str) -> list[Piece]:
        """Take a chunk and return what is new of the answer; raise `ValueError` if it is none."""
        chunk = _Chunk.model_validate_json(data)
        if chunk.error:
            self.error = one_line(reason_of({"error": chunk.error}) or "without a reason")
        if chunk.usage is not None:
            details = chunk.usage.prompt_tokens_details
            self.counts = Counts(
                chunk.usage.prompt_tokens,
                None if details is None else details.cached_tokens,
                chunk.usage.completion_tokens,
            )
        pieces = []
        for choice in chunk.choices or ():
            self.has_begun = True
            self.has_ended |= choice.finish_reason is not None
            pieces += self._pieces(choice.delta or _Delta())
        return pieces

    def calls(self) -> tuple[Call, ...]:
        """Return the calls, without those that cannot be read, as when one is cut off."""
        calls = []
        for name, arguments in self._calls.values():
            with suppress(ValueError):
                calls.append((name, json.loads(arguments or "{}")))
        return tuple(calls)

    def _pieces(self, delta: _Delta) -> list[Piece]:
        pieces = []
        if thought := delta.reasoning_content or delta.reasoning:
            pieces.append(Piece(thought, "thought"))
        if delta.content:
            pieces.append(Piece(delta.content))
        for call in delta.tool_calls or ():
            name, arguments = call.function.name or "", call.function.arguments or ""
            known = len(self._calls) if call.index is None else call.index
            begun = self._calls.setdefault(known, ["", ""])
            begun[0] += name
            begun[1] += arguments
            pieces.append(Piece(f"{name}{arguments}", "call"))
        return pieces
