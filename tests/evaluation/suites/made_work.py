"""Work as a model might have done it, made by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

from punie.agent.events import StopReason
from punie.evaluation.suites.project import parcels
from punie.evaluation.work import Executed, Work
from punie.training.data.example import Function, Message, ToolCall


def ran(name: str, result: str = "ok", *, inner: bool = False, **arguments: Any) -> Executed:
    """A call that ran to a good end."""
    return Executed(Function(name=name, arguments=arguments), result, True, False, inner)


def failed(
    name: str, result: str = "error: no", *, inner: bool = False, **arguments: Any
) -> Executed:
    """A call that ran and ended with an error."""
    return Executed(Function(name=name, arguments=arguments), result, True, True, inner)


def denied(name: str, **arguments: Any) -> Executed:
    """A call that did not run."""
    return Executed(Function(name=name, arguments=arguments), "denied", False, False)


def work(
    *turns: tuple[Sequence[Executed], str],
    files: Mapping[str, str] | None = None,
    stop: StopReason = "end_turn",
    **more: Any,
) -> Work:
    """Turns of calls and an answer; `files` are those afterwards, the project's own without."""
    messages: list[Message] = []
    for calls, answer in turns:
        messages.append(Message(role="user", content="Do it."))
        for each in calls:
            if not each.inner:
                asked = ToolCall(function=each.call)
                messages.append(Message(role="assistant", tool_calls=(asked,)))
                messages.append(Message(role="tool", content=each.result))
        if answer:
            messages.append(Message(role="assistant", content=answer))
    left = parcels().files if files is None else files
    return Work(
        messages=tuple(messages),
        files={path: text.encode() for path, text in left.items()},
        stop=stop,
        executed=tuple(each for calls, _ in turns for each in calls),
        **more,
    )
