"""What `punie` says without a command it knows, and how typed commands are run."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from punie.cli.main import Command

INTRODUCTION = "A coding agent for JetBrains IDEs that runs wholly on your own machine."


def show_help(commands: "Sequence[Command]", arguments: Sequence[str]) -> int:
    """Print the list of commands, or what is wrong with the arguments; return the exit code."""
    app = typer.Typer(
        help=INTRODUCTION, no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", "-V", help="Print the version.")
        ] = False,
    ) -> None:
        pass

    for command in commands:
        app.command(command.name, help=command.summary)(lambda: None)
    return _exit_code(app, ["--help"] if not arguments else list(arguments), "punie")


def run_typed(function: Callable[..., Any], arguments: Sequence[str], name: str) -> int:
    """Run one typer command function; it ends with `typer.Exit(code)` or returns for code 0."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name)(function)
    return _exit_code_here(app, list(arguments), f"punie {name}")


def run_group(
    commands: Mapping[str, Callable[..., Any]], arguments: Sequence[str], name: str, summary: str
) -> int:
    """Run one of several typer command functions by the first argument, as `run_typed` does."""
    app = typer.Typer(
        help=summary,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
    )
    app.callback()(lambda: None)  # Without it a group of one command would take no name.
    for command, function in commands.items():
        app.command(command)(function)
    return _exit_code_here(app, list(arguments) or ["--help"], f"punie {name}")


def say(sentence: str) -> None:
    """Tell the person one sentence on stderr."""
    print(f"punie: {sentence}", file=sys.stderr)


def _exit_code_here(app: typer.Typer, arguments: list[str], program: str) -> int:
    try:
        Path.cwd()
    except OSError:
        say("this folder is not there any more; change into one that is, and try again.")
        return 1
    return _exit_code(app, arguments, program)


def _exit_code(app: typer.Typer, arguments: list[str], program: str) -> int:
    try:
        app(args=arguments, prog_name=program)
    except SystemExit as ended:
        if isinstance(ended.code, int):
            return ended.code
        return 0 if ended.code is None else 1
    except BrokenPipeError:
        # The reader of our output went away (`punie logs | head`).
        discard_stdout()
    return 0


def discard_stdout() -> None:
    """Let what is still to be printed go nowhere, so that the end of the program cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
