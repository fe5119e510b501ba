"""The model's history as the messages of an example: just what its chat template is given."""

from collections.abc import Iterable, Sequence

from pydantic_ai.messages import ModelMessage

from punie.agent.events import TurnEvent
from punie.agent.history import HistoryBuilder
from punie.models.mlx.chat.messages import chat_messages
from punie.training.data.example import Message


def served_messages(history: Sequence[ModelMessage]) -> list[Message]:
    """Return what a model is served of a history, without instructions and tools."""
    return [
        Message.model_validate(
            {
                **message,
                "tool_calls": [{"function": call} for call in message.get("tool_calls", ())],
            }
        )
        for message in chat_messages(history, None)
    ]


def messages_after(events: Iterable[TurnEvent]) -> list[Message]:
    """Return what a model would be served after these events of a session."""
    history = HistoryBuilder()
    for event in events:
        history.add(event)
    return served_messages(history.messages())
