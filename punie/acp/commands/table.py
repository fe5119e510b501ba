"""The slash commands there are: what the client is told and what /help says.

What they do is in `punie.acp.commands.runs`, which is imported when the first one is used.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from acp.schema import (
    AvailableCommand,
    AvailableCommandInput,
    AvailableCommandsUpdate,
    UnstructuredCommandInput,
)

from punie.agent.events import PromptBlock, PromptText

# A name is no path: nothing follows it directly, above all no further slash.
_CALL = re.compile(r"/([a-z][a-z0-9_-]*)(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One command; `hint` tells what may follow the name, "" if nothing does."""

    name: str
    description: str
    hint: str


COMMANDS: tuple[Command, ...] = (
    Command("help", "List the commands", ""),
    Command(
        "compact", "Leave older results and turns out of the model's context", "[what to keep]"
    ),
    Command("model", "Show the models, or change the model", "[name]"),
    Command("mode", "Show what Punie may do without asking, or change it", "[name]"),
    Command("permissions", "Show what is always or never allowed, or revoke it", "[revoke number]"),
    Command("undo", "Take back the file changes of the last turns", "[number of turns]"),
    Command("redo", "Bring back what was taken back last", "[number of turns]"),
    Command("plan", "Show the current plan, or clear it", "[clear]"),
    Command("init", "Write AGENTS.md from what the project's files say", ""),
    Command("mcp", "List the MCP servers of this session and their tools", ""),
    Command("skills", "List the skills that the model can read", ""),
    Command("logs", "Show the last lines of this session's log", "[number of lines]"),
    Command("export", "Write the conversation into a Markdown file", "[file]"),
)


@dataclass(frozen=True)
class CommandCall:
    """A prompt that is a command: its name, known or not, and what follows."""

    name: str
    arguments: str


def command_call(blocks: Sequence[PromptBlock]) -> CommandCall | None:
    """Return the command that a prompt is, by the shape of its first text; None for others."""
    text = next((block.text for block in blocks if isinstance(block, PromptText)), "")
    match = _CALL.fullmatch(text.strip())
    return None if match is None else CommandCall(match[1], (match[2] or "").strip())


def unknown_command(name: str) -> str:
    """Say in one sentence that there is no such command, and what there is."""
    close = difflib.get_close_matches(name, [command.name for command in COMMANDS], n=1, cutoff=0.6)
    nearest = f"; did you mean `/{close[0]}`?" if close else ","
    return f"There is no command `/{name[:60]}`{nearest} `/help` lists them all."


def commands_update() -> AvailableCommandsUpdate:
    """Return the update that tells the client all commands."""
    return AvailableCommandsUpdate(
        session_update="available_commands_update",
        available_commands=[
            AvailableCommand(
                name=command.name, description=command.description, input=_input(command.hint)
            )
            for command in COMMANDS
        ],
    )


def _input(hint: str) -> AvailableCommandInput | None:
    return AvailableCommandInput(root=UnstructuredCommandInput(hint=hint)) if hint else None
