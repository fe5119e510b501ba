"""run_command: a shell command in the workspace."""

import re

from typing_extensions import TypedDict

from punie.tools.base import Returns, Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.command_status import background_text, blocked_hint, terminal_hint
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Presentation
from punie.tools.subjects import CommandSubject
from punie.tools.wording import fenced, in_backticks, one_line, plain_output, visible
from punie.workspace.base import CommandRequest, CommandResult

_STATUS_ROOM = 300
_RUNS_ON = "what runs on, such as a server, is started with background=true"


class RunCommandArguments(ToolArguments):
    """The command line, and how long it may take in seconds, or that it runs on."""

    command: str
    """The command line, for the shell."""
    timeout: float | None = None
    """Seconds after which it is ended; never more than `command_timeout`."""
    background: bool = False
    """Whether it runs on; command_output then tells how it goes."""
    unsandboxed: bool = False
    """Whether it runs outside the sandbox, which you are asked about."""


class CommandOutput(TypedDict):
    """How a command ended, as code gets it; without an exit code it did not end by itself."""

    exit_code: int | None
    output: str


def _seconds(context: ToolContext, arguments: RunCommandArguments) -> float:
    allowed = context.limits.command_seconds
    return allowed if arguments.timeout is None else min(arguments.timeout, allowed)


async def present(context: ToolContext, arguments: RunCommandArguments) -> Presentation:
    """Describe the call; raise `ToolError` for an empty command or a timeout of nothing."""
    if not arguments.command.strip():
        raise ToolError("the command is empty")
    # Written this way round so that NaN is refused too.
    if arguments.timeout is not None and not arguments.timeout > 0:
        raise ToolError("timeout must be more than 0 seconds")
    if "\0" in arguments.command:
        raise ToolError("the command holds a NUL character, which no command can hold")
    command = visible(arguments.command)
    # Blanks would push what follows out of sight.
    title = in_backticks(one_line(re.sub(r"[ \t]{4,}", " ", command), 120))
    if arguments.background:
        title += " in the background"
    if arguments.unsandboxed and (await context.workspace.confinement()).active:
        title += " outside the sandbox"
    return Presentation(
        title=title,
        kind="execute",
        # The whole of it: a title shows only the beginning, and this is what a person allows.
        content=(fenced(command, "sh"),),
    )


async def run(context: ToolContext, arguments: RunCommandArguments) -> ToolResult:
    """Run the command in the workspace's first root and return its status and output."""
    presentation = await present(context, arguments)
    seconds = _seconds(context, arguments)
    request = CommandRequest(
        command=arguments.command,
        cwd=context.workspace.roots[0],
        timeout=seconds,
        output_limit=max(context.limits.result_chars - _STATUS_ROOM, 1),
        unsandboxed=arguments.unsandboxed,
    )
    if arguments.background:
        with workspace_errors():
            started = await context.workspace.start(request)
        text = background_text(started)
        shown = presentation.model_copy(update={"content": (fenced(text),)})
        return ToolResult(text, shown, data={"exit_code": started.exit_code, "output": text})
    with workspace_errors():
        result = await context.workspace.run(request, context.progress, context.show_terminal)
    output = plain_output(result.output).rstrip("\n")
    status = _status(result, seconds)
    text = f"{status}\n{output}" if output else status
    hint = _RUNS_ON if result.timed_out else terminal_hint(result.exit_code, output)
    blocked = blocked_hint(result.blocked)
    text = "\n".join([text, *(f"({each})" for each in (hint, blocked) if each)])
    if blocked:
        output = f"{output}\n({blocked})"
    shown = presentation.model_copy(update={"content": (fenced(text),)})
    return ToolResult(text, shown, data={"exit_code": result.exit_code, "output": output})


def _status(result: CommandResult, seconds: float) -> str:
    if result.timed_out:
        return f"timed out after {seconds:g} s"
    if result.exit_code is None:
        return "ended, and the IDE does not know the exit code"
    return f"exit code {result.exit_code}"


RUN_COMMAND = Tool(
    name="run_command",
    description="Run a shell command; background returns an id.",
    arguments=RunCommandArguments,
    effect="execute",
    present=present,
    run=run,
    subject=lambda arguments: CommandSubject(arguments.command, arguments.unsandboxed),
    returns=Returns(CommandOutput, "Run a shell command; exit_code is None if it took too long."),
)
