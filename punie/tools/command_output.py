"""command_output: what a background command has written since, and how to stop it."""

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolResult
from punie.tools.command_status import background_text
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Presentation
from punie.tools.wording import fenced, in_backticks, one_line


class CommandOutputArguments(ToolArguments):
    """Which command, and whether it is to end."""

    id: str
    """The command, as run_command called it."""
    stop: bool = False
    """Whether to end it, with all that it started."""


async def present(context: ToolContext, arguments: CommandOutputArguments) -> Presentation:
    """Describe the call."""
    name = one_line(arguments.id, 40)
    title = f"Stop background command {name}" if arguments.stop else f"Output of {name}"
    return Presentation(title=title, kind="execute" if arguments.stop else "read")


async def run(context: ToolContext, arguments: CommandOutputArguments) -> ToolResult:
    """Return the new output and the state; raise `ToolError` for an unknown id."""
    presentation = await present(context, arguments)
    with workspace_errors():
        result = await context.workspace.background_output(arguments.id, stop=arguments.stop)
    text = background_text(result)
    title = f"{presentation.title}: {in_backticks(one_line(result.command, 80))}"
    return ToolResult(
        text, presentation.model_copy(update={"title": title, "content": (fenced(text),)})
    )


COMMAND_OUTPUT = Tool(
    name="command_output",
    description="New output of a background command.",
    arguments=CommandOutputArguments,
    # Looking only reaches what run_command was allowed to start; to end it changes what runs.
    effect="execute",
    effect_of=lambda arguments: "execute" if arguments.stop else "read",
    present=present,
    run=run,
    remarks=("Without `stop` it only looks.",),
)
