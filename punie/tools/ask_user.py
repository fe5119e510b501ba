"""ask_user: a question that only the person can answer."""

import re
from typing import assert_never

from punie.tools.base import (
    Answered,
    NotAnswered,
    Question,
    Tool,
    ToolArguments,
    ToolContext,
    ToolError,
    ToolResult,
)
from punie.tools.presentation import Presentation, TextContent
from punie.tools.wording import one_line

MAX_CHOICES = 8

_TITLE_CHARS = 100
_SECRET = re.compile(
    r"\b(pass(word|phrase|code)|pin code|credentials?|(api|access|secret|private|auth)[ _-]?"
    r"(key|token|secret)|(bearer|login|session) token|one[- ]time code)s?\b",
    re.IGNORECASE,
)


class AskUserArguments(ToolArguments):
    """The question, and answers to pick from."""

    question: str
    """One question, never for a secret."""
    choices: list[str] | None = None
    """Short answers to pick from."""


def _question(arguments: AskUserArguments) -> Question:
    """Return the question to put; raise `ToolError` if it must not be put like this."""
    text = arguments.question.strip()
    choices = tuple(dict.fromkeys(choice.strip() for choice in arguments.choices or []))
    if not text:
        raise ToolError("the question is empty")
    if "" in choices:
        raise ToolError("a choice is empty")
    if len(choices) > MAX_CHOICES:
        raise ToolError(f"there are {len(choices)} choices; offer at most {MAX_CHOICES}")
    # A choice gives nothing away, so "Where should the API key be kept?" may offer some.
    if len(choices) < 2 and _SECRET.search(text):
        raise ToolError(
            "never ask for passwords, keys or tokens; tell the user where to put them instead"
        )
    return Question(text, choices if len(choices) > 1 else ())


async def present(context: ToolContext, arguments: AskUserArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a question that must not be asked."""
    return _presentation(_question(arguments))


def _presentation(question: Question, answer: str | None = None) -> Presentation:
    lines = [question.text, *(f"- {choice}" for choice in question.choices)]
    content = [TextContent(text="\n".join(lines))]
    if answer is not None:
        content.append(TextContent(text=answer))
    return Presentation(
        title=f"Ask: {one_line(question.text, _TITLE_CHARS)}", kind="other", content=tuple(content)
    )


async def run(context: ToolContext, arguments: AskUserArguments) -> ToolResult:
    """Put the question and return the answer; raise `ToolError` if there is none."""
    question = _question(arguments)
    reply = await context.ask(question)
    match reply:
        case Answered():
            return ToolResult(
                f"the user answered: {reply.text}", _presentation(question, f"**{reply.text}**")
            )
        case NotAnswered():
            raise ToolError(reply.reason)
        case _:
            assert_never(reply)


ASK_USER = Tool(
    name="ask_user",
    description="Ask what only the user can decide; never for secrets.",
    arguments=AskUserArguments,
    effect="read",
    present=present,
    run=run,
    remarks=(
        f"At most {MAX_CHOICES} choices.",
        "It is not there where nobody can answer.",
    ),
)
