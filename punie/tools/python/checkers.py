"""Running ruff and ty for what they print, and nothing of the project's along with them.

Their settings come from the project's files, which may be anybody's. What such settings could do
beyond checking is turned off: fixing on its own, writing caches, and ty's way of building a
script's environment, which runs `uv` and with it the code of any package. The programs themselves
are Punie's or the user's, never some that the project brings.
"""

import re
from pathlib import Path
from typing import Literal

from punie.tools.base import ToolContext, ToolError
from punie.tools.wording import one_line, plain_output
from punie.workspace.base import ProgramRequest, ProgramResult
from punie.workspace.programs import NO_UV

TIMEOUT_SECONDS = 60.0

_ERROR_CHARS = 400
_SOURCE = re.compile(r"\s*\d*\s*\|")
_ALWAYS: dict[str, tuple[str, ...]] = {
    "ruff check": ("--no-cache", "--no-unsafe-fixes"),
    "ruff format": ("--no-cache",),
    "ty check": (
        "--no-progress",
        "--exit-zero",
        "--output-format=gitlab",
        "--config=project-manager.script='none'",
    ),
}

CheckerCommand = Literal["ruff check", "ruff format", "ty check"]


async def run_checker(
    context: ToolContext,
    command: CheckerCommand,
    arguments: tuple[str, ...],
    root: Path,
    *,
    stdin: bytes = b"",
) -> ProgramResult:
    """Run a checker in a root of the workspace and return what it printed.

    Raises `ToolError` if it is not there or did not come to an end, and `WorkspaceError` if it
    cannot be started. Whether it could do its work is for the caller to see, see `refuse_failure`.
    """
    name, subcommand = command.split(" ")
    program = await context.workspace.find_program(name, "trusted")
    if program is None:
        raise ToolError(f"{name} is not installed beside Punie; install Punie anew")
    result = await context.workspace.run_program(
        ProgramRequest(
            arguments=(str(program), subcommand, *_ALWAYS[command], *arguments),
            cwd=root,
            timeout=TIMEOUT_SECONDS,
            stdin=stdin,
            # The folder that ty's paths are relative to.
            environment={"CI_PROJECT_DIR": str(root), **NO_UV, "NO_COLOR": "1"},
            memory_bounded=True,
        )
    )
    if result.timed_out:
        raise ToolError(f"{name} took longer than {TIMEOUT_SECONDS:g} seconds; name a smaller path")
    if result.flooded:
        raise ToolError(f"{name} has too much to say about this; name a smaller path")
    if result.exit_code is None:
        raise ToolError(
            f"{name} filled the memory and was ended; does a file or link here have no end?"
        )
    return result


def refuse_failure(command: CheckerCommand, result: ProgramResult) -> None:
    """Raise `ToolError` with the program's reason if it could not do its work."""
    if result.exit_code not in (0, 1):
        raise ToolError(failure(command, result))


def failure(command: CheckerCommand, result: ProgramResult) -> str:
    """Return in one sentence why the program could not do its work."""
    name = command.split(" ", 1)[0]
    # Settings may name any file as further settings; what is in it is not to be shown.
    lines = [line for line in plain_output(result.stderr).split("\n") if not _SOURCE.match(line)]
    said = " ".join("\n".join(lines).replace("Cause: ", ": ").split())
    said = said.removeprefix(f"{name} failed").removeprefix("error:").strip(" :")
    if not said:
        return f"{name} failed with exit code {result.exit_code}"
    return f"{name} failed: {one_line(said.replace(' : ', ': '), _ERROR_CHARS)}"
