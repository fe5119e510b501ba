"""A conversation as OpenAI-compatible servers take it, from what our chat templates get."""

import json
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from pydantic_ai.messages import InstructionPart, ModelMessage
from pydantic_ai.models import ModelRequestParameters

from punie.models.mlx.chat.messages import chat_messages
from punie.models.mlx.chat_format import ChatMessage, ToolSpecification


def chat_of(
    messages: Sequence[ModelMessage], parameters: ModelRequestParameters
) -> tuple[list[dict[str, Any]], list[ToolSpecification]]:
    """Return the messages of a chat template and the tools, as our own model gets them."""
    instructions = InstructionPart.join(parameters.instruction_parts or []) or None
    tools = [
        ToolSpecification(tool.name, tool.description or "", tool.parameters_json_schema)
        for tool in parameters.function_tools
    ]
    return chat_messages(messages, instructions), tools


def served_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return messages of a chat template as servers take them, which want calls to have ids."""
    numbers = count()
    open_calls: list[str] = []
    served = []
    for message in messages:
        if calls := message.get("tool_calls"):
            open_calls = [f"call_{next(numbers)}" for _ in calls]
            pairs = zip(open_calls, calls, strict=True)
            served.append({**message, "tool_calls": [_call(*pair) for pair in pairs]})
        elif message["role"] == "tool" and open_calls:
            served.append({**message, "tool_call_id": open_calls.pop(0)})
        else:
            served.append({**message})
    return served


def _call(call_id: str, call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return {
        "type": "function",
        "id": call_id,
        "function": {"name": call["name"], "arguments": arguments},
    }
