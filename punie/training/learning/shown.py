"""Examples of the user's sessions as people read them."""

from collections.abc import Iterator

from punie.tools.wording import count, one_line
from punie.training.data.example import Example, Message
from punie.training.data.from_sessions import Origin

_QUERY_CHARS = 60


def asked_in(example: Example) -> str:
    """Return what the user asked where learning begins: a part of it may be context only."""
    asked = [m.content for m in example.messages[: example.context + 1] if m.role == "user"]
    return asked[-1] if asked else example.query


def example_row(example: Example, origin: Origin | None) -> str:
    """Return an example as one line of a list."""
    when = "" if origin is None else origin.used.astimezone().strftime("%Y-%m-%d")
    calls = sum(len(m.tool_calls) for m in example.messages[example.context :])
    kept = ", kept" if example.checked == "person" else ""
    asked = one_line(asked_in(example), _QUERY_CHARS)
    return f"{example.id}  {when:10}  {example.project}  {count(calls, 'call')}{kept}  {asked}"


def example_lines(example: Example) -> Iterator[str]:
    """Yield an example as a conversation; what is only context is marked with a bar."""
    for number, message in enumerate(example.messages):
        bar = "| " if number < example.context else ""
        for line in _message_lines(message):
            yield f"{bar}{line}".rstrip()


def _message_lines(message: Message) -> Iterator[str]:
    yield f"[{message.role}]"
    if message.reasoning_content:
        yield "(thinking)"
        yield from message.reasoning_content.splitlines()
        yield "(end of thinking)"
    yield from message.content.splitlines()
    for call in message.tool_calls:
        yield f"-> {call.function.name}"
        for name, value in call.function.arguments.items():
            text = str(value)
            if "\n" in text:
                yield f"   {name}:"
                yield from (f"     {line}" for line in text.splitlines())
            else:
                yield f"   {name}: {text}"
    yield ""
