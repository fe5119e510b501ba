"""`punie ask`: the agent in the terminal, one prompt at a time."""

import os
import select
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.engine import is_shared
from punie.cli.help import run_typed, say
from punie.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from punie.cli.asking import Stored

_LONGEST_INPUT = 1_000_000
_PATIENCE_SECONDS = 3.0


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
        bool, typer.Option("--json", help="Print what happens, one JSON object a line.")
    ] = False,
    hide_thoughts: Annotated[
        bool, typer.Option("--hide-thoughts", help="Do not show what the model thinks.")
    ] = False,
    session: Annotated[
        str | None, typer.Option(help="Go on in this session; the beginning of its id will do.")
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on in the latest session of this folder.")
    ] = False,
    shared: Annotated[
        bool, typer.Option("--shared", help="Use your server, which is started if need be.")
    ] = False,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Load the model here, whatever the settings say.")
    ] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of sessions and logs.")] = None,
) -> None:
    """Give the agent one prompt in this folder.

    What comes through a pipe goes along: git diff | punie ask "Review this". The answer goes to
    stdout, everything else to stderr. What has to be allowed is asked on the terminal; without one
    it is denied, unless --yes or --mode says otherwise. Exit codes: 0 done, 1 the model or a limit
    ended the turn early, 2 wrong usage, 130 cancelled.
    """
    if shared and in_process:
        _refuse("--shared and --in-process exclude each other.")
    if session is not None and go_on:
        _refuse("--session and --continue exclude each other.")
    piped = _read_input() if prompt == "-" or _is_piped() else ""
    text, attached = (piped, None) if prompt == "-" else (prompt, piped if piped.strip() else None)
    if not text.strip():
        _refuse("the prompt is empty.")
    model = _model_id(model)
    stored = _stored(session, state_dir) if session is not None or go_on else None
    cwd = Path.cwd() if stored is None else Path(stored.cwd)
    engine = "shared" if shared else "in-process" if in_process else None
    try:
        settings = load_settings(cwd, model=model, mode=mode, state_dir=state_dir, engine=engine)
    except SettingsError as error:
        _refuse(str(error))
    from punie.cli.asking import Asking, run_prompt

    chosen = {"model": model, "mode": mode}
    asking = Asking(
        prompt=text,
        attached=attached,
        cwd=cwd,
        settings=settings,
        session=stored,
        chosen={name: value for name, value in chosen.items() if value is not None},
        shared=is_shared(settings),
        yes=yes,
        as_json=as_json,
        thoughts=not hide_thoughts,
    )
    raise typer.Exit(run_prompt(asking))


def _refuse(sentence: str) -> None:
    say(sentence)
    raise typer.Exit(2)


def _stored(session: str | None, state_dir: Path | None) -> "Stored":
    from punie.cli.asking import Stored
    from punie.cli.stored import asked_session

    here = str(Path.cwd())
    _, record = asked_session(session, None, state_dir, lambda _, record: record.cwd == here)
    more = record.meta.get("additional_directories", ())
    return Stored(record.id, record.cwd, tuple(map(str, more)))


def _model_id(reference: str | None) -> str | None:
    if reference is None:
        return None
    from punie.models.catalog import ModelUnavailable, resolve_model

    try:
        return resolve_model(reference).id
    except ModelUnavailable as error:
        say(str(error))
        raise typer.Exit(1) from None


def _is_piped() -> bool:
    try:
        kind = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(kind) or stat.S_ISREG(kind) or stat.S_ISSOCK(kind)


def _read_input() -> str:
    if _is_piped() and not select.select([0], [], [], _PATIENCE_SECONDS)[0]:
        say("waiting for the end of standard input; < /dev/null gives none.")
    data = sys.stdin.buffer.read(_LONGEST_INPUT + 1)
    if len(data) > _LONGEST_INPUT:
        _refuse(f"standard input is longer than {_LONGEST_INPUT} bytes.")
    return data.decode("utf-8", "replace")
