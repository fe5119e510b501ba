"""Lets a real bash run a command line in which no program exists, and says what it tried to run."""

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from punie.agent.permissions.shell import CommandLine, SimpleCommand

# Every name is an unknown command to a bash without a PATH, so this sees all programs with their
# arguments. The depth of functions is bounded, because a made-up line may define a fork bomb.
_ENVIRONMENT = r"""
FUNCNEST=4
command_not_found_handle() { builtin printf '%s\0' "${@//$'\n'/$'\2'}" $'\1' >>"$LOG"; }
"""
_SECONDS = 2.0


@dataclass(frozen=True)
class Observed:
    """The programs with their arguments, and the files that are new in the folder."""

    commands: list[list[str]]
    files: set[str]


def observe(line: str, folder: Path) -> Observed:
    """Run the line in a folder of its own."""
    work = folder / "work"
    work.mkdir(parents=True)
    log, environment = folder / "log", folder / "environment"
    log.touch()
    environment.write_text(_ENVIRONMENT)
    process = subprocess.Popen(
        ["/bin/bash", "-c", line],
        cwd=work,
        env={
            "PATH": "/nonexistent",
            "HOME": str(work),
            "LOG": str(log),
            "BASH_ENV": str(environment),
            "LC_ALL": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # What runs in the background may be missing; that only makes the check weaker.
    records = log.read_bytes().decode("utf-8", "replace").split("\0\1\0")
    commands = [record.replace("\2", "\n").split("\0") for record in records if record]
    return Observed(commands, {path.name for path in work.iterdir()})


def explains(line: CommandLine, argv: list[str]) -> bool:
    """Tell whether one of the commands that were read is this one, as far as it was known."""
    return any(_fits(command, argv) for command in line.each())


def _fits(command: SimpleCommand, argv: list[str]) -> bool:
    for number, word in enumerate(command.words):
        if not word.known:
            return number > 0
        if number >= len(argv) or argv[number] != word.text:
            return False
    return len(argv) == len(command.words)
