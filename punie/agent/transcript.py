"""A conversation as a Markdown document, for people to keep or to send on."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from punie.agent.events import (
    Notice,
    PromptLink,
    PromptResource,
    PromptText,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEvent,
    UserMessage,
)
from punie.tools.presentation import DiffContent, Presentation, TextContent
from punie.tools.wording import count, diff_lines, fenced

MOST_RESULT_LINES = 60
"""Lines of one result or diff that are kept."""

_Spoken = UserMessage | TextDelta | ToolStarted | Notice
_HEADING = re.compile(r"^(#{1,6}\s)", re.MULTILINE)


def conversation_markdown(events: Sequence[TurnEvent], title: str) -> str:
    """Return what was said and done, without thoughts and without the turns of commands."""
    ends = {event.call_id: event for event in events if isinstance(event, ToolFinished)}
    sections = [f"# {title}"]
    answering = False
    for event in _spoken(events):
        if isinstance(event, UserMessage):
            answering = False
            sections += ["## You", _prompt(event)]
            continue
        if not answering:
            answering = True
            sections.append("## Punie")
        match event:
            case TextDelta():
                sections.append(event.text.strip())
            case ToolStarted():
                sections.append(_call(event, ends.get(event.call_id)))
            case Notice():
                sections.append(f"> {event.text}")
            case _:
                assert_never(event)
    return "\n\n".join(section for section in sections if section) + "\n"


def _spoken(events: Iterable[TurnEvent]) -> Iterator[_Spoken]:
    """Yield what is told, the pieces of a text joined; the turns of commands are left out."""
    in_command = False
    message_id = ""
    pieces: list[str] = []

    def text() -> Iterator[TextDelta]:
        if pieces:
            yield TextDelta(message_id=message_id, text="".join(pieces))
            pieces.clear()

    for event in events:
        if isinstance(event, UserMessage):
            in_command = event.command is not None
        if in_command:
            continue
        if isinstance(event, TextDelta):
            if event.message_id != message_id:
                yield from text()
            message_id = event.message_id
            pieces.append(event.text)
        elif isinstance(event, UserMessage | ToolStarted) or (
            isinstance(event, Notice) and event.severity != "info"
        ):
            yield from text()
            yield event
    yield from text()


def _prompt(message: UserMessage) -> str:
    pieces: list[str] = []
    for block in message.blocks:
        match block:
            case PromptText():
                # A heading of the prompt must not look like one of the document.
                pieces.append(_HEADING.sub(r"\\\1", block.text))
            case PromptLink():
                pieces.append(f"@{block.name}")
            case PromptResource():
                pieces.append(f"\n\nAttached: {block.uri}\n\n{fenced(block.text).text}\n\n")
            case _:
                assert_never(block)
    return " ".join(piece for piece in pieces if piece).strip()


def _call(started: ToolStarted, finished: ToolFinished | None) -> str:
    shown = started.presentation if finished is None else finished.presentation
    if finished is None:
        state = " (interrupted)"
    else:
        state = " (failed)" if finished.status == "failed" else ""
    body = _picture(shown, finished)
    title = f"- {shown.title}{state}"
    return f"{title}\n\n{_indented(body)}" if body else title


def _picture(shown: Presentation, finished: ToolFinished | None) -> str:
    """Return what came of a call: diffs whole, other results up to a size; reads only by title."""
    if any(isinstance(content, DiffContent) for content in shown.content):
        return "\n\n".join(
            _diff(content) if isinstance(content, DiffContent) else _cut(content.text)
            for content in shown.content
        )
    if shown.kind in ("read", "search", "think") and (
        finished is None or finished.status == "completed"
    ):
        return ""
    texts = [content.text for content in shown.content if isinstance(content, TextContent)]
    return "\n\n".join(_cut(text) for text in texts)


def _diff(content: DiffContent) -> str:
    return fenced(_cut("\n".join(diff_lines(content))), "diff").text


def _cut(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= MOST_RESULT_LINES:
        return text
    left = count(len(lines) - MOST_RESULT_LINES, "line")
    fence = re.match(r"(`{3,})", text)
    end = [fence[1]] if fence else []
    return "\n".join([*lines[:MOST_RESULT_LINES], f"… ({left} more)", *end])


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())
