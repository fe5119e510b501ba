"""What MCP servers offer, and how much of it a model's prompt has room for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from punie.tools.mcp.schemas import shortened, size, terser

MAX_PROMPT_CHARS = 24_000
"""Characters that all tools of all MCP servers together may take in a prompt."""

_WINDOW_SHARE = 8
_CHARS_PER_TOKEN = 3
_DESCRIPTION_CHARS = 300
_TERSE_DESCRIPTION_CHARS = 120
_TOOL_CHARS = 3_000
_FRAME_CHARS = 80
# How far schemas are cut down to make room: all, no descriptions, only the outermost types.
_DEPTHS: tuple[int | None, ...] = (None, 3, 1)


@dataclass(frozen=True)
class ToolOffer:
    """One tool as its server describes it; what is said of its effects is only a hint.

    `schema` is the normalised schema of its arguments, `name` the server's own name for it and
    `id` the name for the model.
    """

    name: str
    id: str
    title: str
    description: str
    schema: Mapping[str, Any] = field(repr=False)
    read_only: bool = False


@dataclass(frozen=True)
class PromptTool:
    """A tool that has room in the prompt, with the description and schema that the model gets."""

    offer: ToolOffer
    description: str
    schema: Mapping[str, Any] = field(repr=False)


def prompt_room(window: int | None) -> int:
    """Return the characters that MCP tools may take, for a model's window in tokens."""
    if window is None:
        return MAX_PROMPT_CHARS
    return min(MAX_PROMPT_CHARS, window // _WINDOW_SHARE * _CHARS_PER_TOKEN)


def select(offers: Sequence[Sequence[ToolOffer]], room: int) -> list[list[PromptTool]]:
    """Return what fits into the room, for each server; none can take the place of the others.

    Servers that need less than their share leave the rest to the others. Tools keep their order.
    """
    chosen: list[list[PromptTool]] = [[] for _ in offers]
    by_need = sorted(range(len(offers)), key=lambda i: (_need(offers[i]), i))
    for waiting, index in zip(range(len(offers), 0, -1), by_need, strict=True):
        chosen[index], used = _fit(offers[index], room // waiting)
        room -= used
    return chosen


def _fit(offers: Sequence[ToolOffer], room: int) -> tuple[list[PromptTool], int]:
    for depth in _DEPTHS:
        tools = [_prompt_tool(offer, depth) for offer in offers]
        costs = [_cost(tool) for tool in tools]
        if sum(costs) <= room and max(costs, default=0) <= _TOOL_CHARS:
            return tools, sum(costs)
    kept: list[PromptTool] = []
    used = 0
    for tool, cost in zip(tools, costs, strict=True):
        if cost <= _TOOL_CHARS and used + cost <= room:
            kept.append(tool)
            used += cost
    return kept, used


def _need(offers: Sequence[ToolOffer]) -> int:
    return sum(_cost(_prompt_tool(offer, None)) for offer in offers)


def _prompt_tool(offer: ToolOffer, depth: int | None) -> PromptTool:
    limit = _DESCRIPTION_CHARS if depth is None else _TERSE_DESCRIPTION_CHARS
    description = shortened(offer.description or offer.title, limit)
    schema = offer.schema if depth is None else terser(offer.schema, deepest=depth)
    return PromptTool(offer, description, schema)


def _cost(tool: PromptTool) -> int:
    return len(tool.offer.id) + len(tool.description) + size(tool.schema) + _FRAME_CHARS
