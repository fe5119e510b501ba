"""pydantic-ai's message history as the messages of a chat template."""

from collections.abc import Sequence
from typing import Any, assert_never

from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    CachePoint,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    RetryFeedbackPart,
    RetryPromptPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)

MALFORMED = "malformed tool call"
"""What the arguments of a call that could not be read begin with; never valid JSON.

It is also the key of the reason in the part's `provider_details`."""


def chat_messages(
    messages: Sequence[ModelMessage], instructions: str | None
) -> list[dict[str, Any]]:
    """Return the history for a chat template.

    Instructions and leading system prompts become the one system message at the start. A system
    prompt further on becomes a user message, since several templates refuse it anywhere else.
    Raises `pydantic_ai.exceptions.UserError` for content that a text model cannot read.
    """
    leading: list[str] = [instructions] if instructions else []
    chat: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            _add_request(chat, message.parts, leading)
        elif isinstance(message, ModelResponse):
            _add_response(chat, message)
        else:
            assert_never(message)
    if leading:
        chat.insert(0, {"role": "system", "content": "\n\n".join(leading)})
    return chat


def _add_request(
    chat: list[dict[str, Any]], parts: Sequence[ModelRequestPart], leading: list[str]
) -> None:
    begin = len(chat)
    for part in parts:
        if isinstance(part, SystemPromptPart) and not chat:
            leading.append(part.content)
        elif isinstance(part, ToolReturnPart):
            chat.append({"role": "tool", "content": part.model_response_str()})
        elif isinstance(part, RetryPromptPart) and part.tool_name is not None:
            chat.append({"role": "tool", "content": part.model_response()})
        else:
            text = _user_text(part)
            if len(chat) > begin and chat[-1]["role"] == "user":
                chat[-1]["content"] += "\n\n" + text
            else:
                chat.append({"role": "user", "content": text})


def _user_text(part: ModelRequestPart) -> str:
    if isinstance(part, SystemPromptPart):
        return part.content
    if isinstance(part, UserPromptPart):
        if isinstance(part.content, str):
            return part.content
        return "\n\n".join(text for item in part.content if (text := _content_text(item)))
    if isinstance(part, (RetryFeedbackPart, RetryPromptPart)):
        return part.model_response()
    raise UserError(f"A local text model cannot read a {part.part_kind!r} part.")


def _content_text(item: UserContent) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, TextContent):
        return item.content
    if isinstance(item, CachePoint):
        return ""
    raise UserError(f"A local text model reads text only, not {type(item).__name__}.")


def _add_response(chat: list[dict[str, Any]], response: ModelResponse) -> None:
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    thought = "".join(part.content for part in response.parts if isinstance(part, ThinkingPart))
    calls = [
        {"name": part.tool_name, "arguments": _arguments(part)}
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
    if not (text or thought or calls):
        return  # A response that was cancelled before its first word.
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    chat.append(message)


def _arguments(part: ToolCallPart) -> dict[str, Any]:
    if isinstance(part.args, str) and part.args.startswith(MALFORMED):
        return {}  # The retry prompt that follows quotes what was wrong.
    return part.args_as_dict()
