"""What each slash command does, by its name."""

from collections.abc import Mapping

from punie.acp.commands.checkpoints import redo, undo
from punie.acp.commands.context import CommandContext, Run
from punie.acp.commands.conversation import compact, export, logs, plan
from punie.acp.commands.files import init
from punie.acp.commands.options import mode, model
from punie.acp.commands.rules import permissions
from punie.acp.commands.servers import mcp
from punie.acp.commands.skills import skills
from punie.acp.commands.table import COMMANDS


async def show_help(context: CommandContext) -> str:
    """List the commands."""
    lines = [
        f"- `/{command.name}{' ' if command.hint else ''}{command.hint}`: {command.description}"
        for command in COMMANDS
    ]
    return "\n".join(["Punie answers these commands itself, without the model:", "", *lines])


RUNS: Mapping[str, Run] = {
    "help": show_help,
    "compact": compact,
    "model": model,
    "mode": mode,
    "permissions": permissions,
    "undo": undo,
    "redo": redo,
    "plan": plan,
    "init": init,
    "mcp": mcp,
    "skills": skills,
    "logs": logs,
    "export": export,
}
