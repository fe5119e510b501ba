"""What commands say in an empty folder too: that they have not learned from the project.

A command can work out, decode or simply print what a model remembers or guesses.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from punie.evaluation.confinement import CONFINED
from punie.evaluation.kept_back import places_of_answers
from punie.evaluation.work import Executed
from punie.workspace.base import CommandRequest, WorkspaceError
from punie.workspace.local import LocalWorkspace

_SECONDS = 10.0
"""What it may take there; what takes longer has said what it said until then."""


async def with_what_is_said_anywhere(
    executed: Sequence[Executed], root: Path, hidden: Sequence[Path]
) -> tuple[Executed, ...]:
    """Return the calls, those of commands with what these say where the project is not to be seen.

    Each command runs once more, confined, in a new empty folder. Where no sandbox works none does.
    """
    commands = {str(each.call.arguments.get("command", "")) for each in executed if _is_over(each)}
    if not commands:
        return tuple(executed)
    said: dict[str, str] = {}
    options = replace(CONFINED, hide=(root, *hidden, *places_of_answers()))
    with tempfile.TemporaryDirectory(prefix="punie-empty-") as folder:
        workspace = LocalWorkspace([Path(os.path.realpath(folder))], options)
        try:
            if (await workspace.confinement()).active:
                for command in sorted(commands):
                    said[command] = await _said(workspace, command)
        finally:
            await workspace.aclose()
    return tuple(
        replace(each, anywhere=said.get(str(each.call.arguments.get("command")), ""))
        if _is_over(each)
        else each
        for each in executed
    )


def _is_over(executed: Executed) -> bool:
    """Tell whether a call was of a command that came to its end."""
    call = executed.call
    is_command = call.name == "run_command" and not call.arguments.get("background")
    return is_command and executed.ran and not executed.failed


async def _said(workspace: LocalWorkspace, command: str) -> str:
    try:
        done = await workspace.run(CommandRequest(command, workspace.roots[0], _SECONDS))
    except WorkspaceError:
        return ""
    return f"exit code {done.exit_code}\n{done.output}"
