"""The front door: finds the command in one table and imports only that command.

`punie --version` and `punie acp` must start at once, so nothing is imported here that they do not
need; typer and rich come in with the commands that people type.
"""

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from punie import __version__


@dataclass(frozen=True)
class Command:
    """A command: its name, the module whose `main(arguments) -> exit code` runs it, one line."""

    name: str
    module: str
    summary: str


COMMANDS: tuple[Command, ...] = (
    Command("acp", "punie.cli.acp", "Serve the Agent Client Protocol on stdin and stdout."),
    Command("init", "punie.cli.init", "Make Punie known to the JetBrains IDEs."),
    Command("ask", "punie.cli.ask", "Give the agent one prompt in this terminal."),
    Command("serve", "punie.cli.serve", "Serve all projects from one process, with one model."),
    Command("status", "punie.cli.status", "Tell whether the server runs, and for whom."),
    Command("stop", "punie.cli.stop", "Stop the server; turns that run are cancelled."),
    Command("models", "punie.cli.models", "List, download, compare, choose and remove models."),
    Command("bench", "punie.cli.bench", "Measure the engine with a model on this machine."),
    Command("eval", "punie.cli.eval", "Measure how well a model does the agent's work."),
    Command("dataset", "punie.cli.dataset", "Make, check and change training data."),
    Command("train", "punie.cli.train", "Let a model learn from a dataset."),
    Command("fuse", "punie.cli.fuse", "Make an adapter part of its model's weights."),
    Command("gate", "punie.cli.gate", "Check what one step of training made before the next."),
    Command("learn", "punie.cli.learn", "Let a model learn from your own sessions."),
    Command("quantize", "punie.cli.quantize", "Give a model fewer bits for each weight."),
    Command("distill", "punie.cli.distill", "Let a small model learn from a larger one."),
    Command("draft", "punie.cli.draft", "Make and measure draft models."),
    Command("pipeline", "punie.cli.pipeline", "Train models by recipes, gates included."),
    Command("study", "punie.cli.study", "Run an experiment on the bundled model, with a page."),
    Command("report", "punie.cli.report", "Write the page of an evaluation, or of two compared."),
    Command("track", "punie.cli.track", "Keep the runs of evaluations, and compare them."),
    Command("mcp", "punie.cli.mcp", "List the MCP servers and tools that a session got."),
    Command("undo", "punie.cli.undo", "Take back what the last turns did to files."),
    Command("redo", "punie.cli.redo", "Bring back what was taken back."),
    Command("permissions", "punie.cli.permissions", "Show or change what is always allowed."),
    Command("logs", "punie.cli.logs", "Show the log, newest first, or follow it."),
    Command("doctor", "punie.cli.doctor", "Check what would stop Punie from working."),
)

_GARBAGE_THRESHOLDS = (50_000, 20, 50)
"""Imports make a hundred thousand objects that stay. With Python's own 700 a start spends a sixth
of its time on looking through them for garbage."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 trouble, 2 wrong usage.

    Without `arguments` it is the program itself, and if a model has run the process ends here.
    """
    if arguments is None:
        gc.set_threshold(*_GARBAGE_THRESHOLDS)
    code = _main(list(sys.argv[1:] if arguments is None else arguments))
    if arguments is None and "mlx.core" in sys.modules:
        _leave(code)
    return code


def _main(given: list[str]) -> int:
    if given and given[0] in ("--version", "-V"):
        print(f"punie {__version__}")
        return 0
    if given:
        for command in COMMANDS:
            if command.name == given[0]:
                return _run(command, given[1:])
    from punie.cli.help import show_help

    return show_help(COMMANDS, given)


def _run(command: Command, arguments: list[str]) -> int:
    try:
        code = importlib.import_module(command.module).main(arguments)
    except KeyboardInterrupt:
        return 130
    return int(code)


def _leave(code: int) -> NoReturn:
    """End the process, now that everything is closed.

    Not a return: a thread that has used MLX takes the interpreter's lock once more after its last
    line, and if the interpreter goes away at that moment, the process is aborted.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)
