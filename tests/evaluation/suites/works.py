"""Work made by hand, for judges."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from punie.evaluation.session import project_files
from punie.evaluation.work import Executed, Work
from punie.training.data.example import Function, Message, ToolCall


def called(
    tool: str,
    arguments: Mapping[str, Any],
    result: str = "",
    *,
    ran: bool = True,
    failed: bool = False,
) -> Executed:
    call = Function(name=tool, arguments=dict(arguments))
    return Executed(call, result, ran=ran, failed=failed)


def work_of(
    answer: str,
    *executed: Executed,
    prompt: str = "Do it.",
    root: Path | None = None,
    seconds: float = 0.0,
) -> Work:
    """Return the work of a model that made these calls one by one and then answered."""
    messages = [Message(role="user", content=prompt)]
    for each in executed:
        messages.append(Message(role="assistant", tool_calls=(ToolCall(function=each.call),)))
        messages.append(Message(role="tool", content=each.result))
    messages.append(Message(role="assistant", content=answer))
    return Work(
        messages=tuple(messages),
        files={} if root is None else project_files(root),
        stop="end_turn",
        executed=executed,
        seconds=seconds,
    )
