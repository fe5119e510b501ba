"""`punie ask`: the agent in the terminal, one prompt at a time."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.help import run_typed, say
from punie.settings import SettingsError, load_settings

_LONGEST_PROMPT = 1_000_000


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Exit codes: 0 the answer is complete, 1 the model or a limit kept it from that, 2 wrong usage,
    130 cancelled.
    """
    return run_typed(ask, arguments, "ask")


def ask(
    prompt: Annotated[str, typer.Argument(help="What to do; - reads it from standard input.")],
    model: Annotated[str | None, typer.Option(help="A name, a folder or a hub id.")] = None,
    mode: Annotated[
        str | None, typer.Option(help="ask, accept_edits, plan or auto (asks nothing).")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Allow all that is asked for.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the turn's events, one JSON object a line.")
    ] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of sessions and logs.")] = None,
) -> None:
    """Give the agent one prompt in this folder.

    The answer goes to stdout, everything else to stderr. What has to be allowed is asked on the
    terminal; without one it is denied, unless --yes or --mode says otherwise. Exit codes: 0 done,
    1 the model or a limit ended the turn early, 2 wrong usage, 130 cancelled.
    """
    text = _read_prompt() if prompt == "-" else prompt
    if not text.strip():
        say("the prompt is empty.")
        raise typer.Exit(2)
    cwd = Path.cwd()
    try:
        settings = load_settings(cwd, model=model, mode=mode, state_dir=state_dir)
    except SettingsError as error:
        say(str(error))
        raise typer.Exit(2) from None
    from punie.cli.asking import Asking, run_prompt

    raise typer.Exit(run_prompt(Asking(text, cwd, settings, yes=yes, as_json=as_json)))


def _read_prompt() -> str:
    data = sys.stdin.buffer.read(_LONGEST_PROMPT + 1)
    if len(data) > _LONGEST_PROMPT:
        say(f"the prompt is longer than {_LONGEST_PROMPT} bytes.")
        raise typer.Exit(2)
    return data.decode("utf-8", "replace")
