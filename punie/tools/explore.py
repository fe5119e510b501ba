"""explore: a question about the project that another conversation with the model answers."""

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.presentation import Presentation, TextContent
from punie.tools.wording import one_line

ANSWER_CHARS = 6_000
"""Characters of an answer that the model reads at most."""

_TITLE_CHARS = 80


class ExploreArguments(ToolArguments):
    """What is to be found out."""

    task: str
    """What is to be found out; the helper knows nothing of the conversation."""


async def present(context: ToolContext, arguments: ExploreArguments) -> Presentation:
    """Describe the call; raise `ToolError` if there is no task."""
    if not arguments.task.strip():
        raise ToolError("the task is empty; say what is to be found out")
    return Presentation(title=f"Explore: {one_line(arguments.task, _TITLE_CHARS)}", kind="search")


async def run(context: ToolContext, arguments: ExploreArguments) -> ToolResult:
    """Have it found out and return the answer; raise `ToolError` if there is none."""
    presentation = await present(context, arguments)
    answer = await context.explore(arguments.task)
    limit = min(ANSWER_CHARS, context.limits.result_chars)
    if len(answer) > limit:
        answer = f"{answer[:limit]}\n(cut at {limit} of {len(answer)} characters; ask for less)"
    shown = presentation.model_copy(update={"content": (TextContent(text=answer),)})
    return ToolResult(answer, shown)


EXPLORE = Tool(
    name="explore",
    description="Have a helper that knows only the task read and report; saves context.",
    arguments=ExploreArguments,
    effect="read",
    present=present,
    run=run,
    remarks=(
        "The helper is the same model with a conversation of its own, and can only read.",
        f"Of its answer {ANSWER_CHARS:,} characters are read at most.",
    ),
)
