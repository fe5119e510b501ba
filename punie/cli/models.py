"""`punie models`: which models there are, and downloading, choosing and removing them."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from punie.cli.compare import compare
from punie.cli.help import run_group, say
from punie.cli.model_report import (
    report,
    report_json,
    report_lines,
    rows,
    unfinished_downloads,
    used_models,
)
from punie.cli.served import (
    Served,
    ask_server,
    find_model,
    served_json,
    served_lines,
    window_text,
)
from punie.models import hub
from punie.models.advice import advice_for
from punie.models.architecture import read_architecture
from punie.models.catalog import (
    BUNDLED_ID,
    ENDPOINT_PREFIX,
    FITS,
    SCRIPT_PREFIX,
    USUAL_CONTEXT,
    ModelChoice,
    ModelUnavailable,
    read_json_object,
    resolve_model,
)
from punie.models.checking import check_model
from punie.models.endpoint import needed_endpoint
from punie.models.machine import machine_memory
from punie.models.made import forget_model, made_model
from punie.models.memory import Fit, fits, gigabytes
from punie.models.options import endpoint_of
from punie.models.traits import check_supported
from punie.settings import Settings, SettingsError, load_settings, store_user_setting

_Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="organisation/name, a folder, openai:NAME or punie-tiny."),
]
_OfTheHub = Annotated[str, typer.Argument(metavar="MODEL", help="organisation/name on the hub.")]
_Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
_Force = Annotated[
    bool, typer.Option("--force", help="Also when the model is too big for this machine.")
]
_ForceUse = Annotated[
    bool,
    typer.Option("--force", help="Also when it is too big here, or did not pass its serving gate."),
]


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 stopped."""
    commands: dict[str, Callable[..., None]] = {
        "list": list_models,
        "info": info,
        "pull": pull,
        "use": use,
        "compare": compare,
        "rm": rm,
    }
    summary = "List, download, compare, choose and remove models."
    return run_group(commands, arguments, "models", summary)


def list_models(as_json: _Json = False) -> None:
    """List the models on this machine, and what is worth a download."""
    machine = machine_memory()
    settings = _settings()
    used = used_models(settings.model, Path.home())
    found = rows(settings.model, used, machine)
    endpoint = endpoint_of(settings)
    served = None if endpoint is None else ask_server(endpoint)
    if as_json:
        listed = [row.as_json() for row in found]
        listed += [] if served is None else served_json(served, used)
        print(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    for row in found:
        print(f"{'*' if row.in_use else ' '} {row.choice.id}")
        print(f"    {row.line()}; {FITS[row.fit.level]}")
    for part in unfinished_downloads():
        size = gigabytes(part.unfinished)
        print(f"  {part.id}")
        print(f"    unfinished, {size} are there; go on with `punie models pull {part.id}`")
    here = {row.choice.id for row in found} | set(() if served is None else served.ids)
    for missing in (reference for reference in used if reference not in here):
        if missing.startswith(ENDPOINT_PREFIX):
            print(f"* {missing}\n    {_why_not_served(served)}")
        elif not missing.startswith(SCRIPT_PREFIX):
            print(f"* {missing}\n    not on this machine")
    if served is not None:
        print("\n".join(served_lines(served, used)))
    more = [one for one in advice_for(machine.total) if one.id not in here]
    if more:
        print(f"\nFor the {gigabytes(machine.total)} of this machine (see docs/models.md):")
        for one in more:
            print(f"  punie models pull {one.id}")
            print(f"    {gigabytes(one.size)}; {one.note}")


def info(model: _Model, as_json: _Json = False) -> None:
    """Tell what a model is, what it can do and how much memory it needs."""
    choice = _resolve(model)
    if choice.source == "endpoint":
        _info_of_served(choice, as_json)
        return
    try:
        found = report(choice, used_models(_settings().model, Path.home()), machine_memory())
    except ModelUnavailable as error:
        _refuse(str(error))
    if as_json:
        print(json.dumps(report_json(found), indent=2, ensure_ascii=False))
    else:
        print("\n".join(report_lines(found)))


def pull(model: _OfTheHub, force: _Force = False) -> None:
    """Download a model from the hub, or go on with a download that was interrupted.

    Everything is checked against the hub's checksums. Afterwards no network is needed.
    """
    if model == BUNDLED_ID:
        print(f"{BUNDLED_ID} comes with Punie; there is nothing to download.")
        return
    # Imported here: it takes a while, and no other command needs it.
    from punie.cli.progress import Progress
    from punie.models.download import check_space, fetch, fetch_configuration, plan_download

    try:
        download = plan_download(model)
        check_space(download)
        folder = fetch_configuration(download)
        check_supported(folder)
        fit = _fit(folder, download.weight_bytes)
        if fit.level == "no" and not force:
            _refuse(f"{fit.sentence[:-1]}, or use --force to download it all the same.")
        print(f"{model}, {gigabytes(download.nbytes)}, into {download.repository.folder}")
        with Progress(download.nbytes) as progress:
            folder = fetch(download, progress)
        check_model(folder)
    except ModelUnavailable as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        say(f"stopped; `punie models pull {model}` goes on from here.")
        raise typer.Exit(130) from None
    print(f"{model} is complete. {fit.sentence}")
    print(f"Use it from now on with `punie models use {model}`.")


def use(model: _Model, force: _ForceUse = False) -> None:
    """Choose the model for new sessions, in your own settings file."""
    choice = _resolve(model)
    if choice.source == "endpoint":
        _use_served(choice)
        return
    if choice.path is None or choice.source == "scripted":
        _refuse(f"{model} is a script for tests; choose a model.")
    from punie.models.mlx.chat_format import ChatFormat

    try:
        weights = check_model(choice.path)
        ChatFormat.load(choice.path)
        _check_gate(choice, force)
        fit = _fit(choice.path, weights.nbytes)
        if fit.level == "no" and not force:
            _refuse(f"{fit.sentence[:-1]}, or use --force to choose it all the same.")
        _choose(choice)
        if fit.level != "fits":
            say(fit.sentence)
    except (ModelUnavailable, SettingsError) as error:
        _refuse(str(error))
    _tell_what_wins(choice)


def _check_gate(choice: ModelChoice, force: bool) -> None:
    """Refuse a model that Punie made and that did not pass its serving gate."""
    from punie.models.provenance import read_provenance

    if choice.path is None or choice.source == "bundled" or read_provenance(choice.path) is None:
        return
    from punie.training.gates.verdict import why_not_served

    reason = why_not_served(choice.path)
    if reason is None:
        return
    if not force:
        _refuse(f"{reason.rstrip('.')}, or use --force to choose it all the same.")
    say(f"used all the same, although this was skipped: {reason}")


def _choose(choice: ModelChoice) -> None:
    path = store_user_setting("model", choice.id)
    print(f"{choice.title} is the model from now on ({path}).")


def _tell_what_wins(choice: ModelChoice) -> None:
    chosen = _settings().model
    if chosen != choice.id:
        say(
            f"here it is {chosen} all the same: the project's own settings or PUNIE_MODEL say so, "
            "and they win."
        )
    other = [one for one in used_models(choice.id, Path.home()) if one != choice.id]
    if other:
        say(f"the IDE starts Punie with {other[0]}; change that with `punie init --model MODEL`.")


def rm(
    model: _OfTheHub, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Delete a downloaded model from the hub's cache, or take a made one off the list."""
    if model == BUNDLED_ID:
        _refuse(f"{BUNDLED_ID} is part of Punie and stays.")
    if model.startswith(ENDPOINT_PREFIX):
        _refuse(f"{model} is on a server; delete it there.")
    if made_model(model) is not None:
        _forget(model)
        return
    if Path(model).expanduser().exists():
        _refuse(f"{model} is a folder that Punie did not make; delete it yourself.")
    found = hub.repository(model) if hub.is_hub_id(model) else None
    if found is None or not found.folder.is_dir():
        _refuse(f"{model} is not on this machine; `punie models list` shows what is.")
    if model in used_models(_settings().model, Path.home()):
        _refuse(f"{model} is in use; choose another one first with `punie models use`.")
    if not yes:
        if not sys.stdin.isatty():
            _refuse("nobody is there to ask; use --yes to delete it without a question.")
        if not typer.confirm(f"Delete {model} ({gigabytes(found.nbytes)} in {found.folder})?"):
            print("Nothing was deleted.")
            return
    try:
        size = hub.remove(found)
    except OSError as error:
        _refuse(f"{found.folder} cannot be deleted ({error.strerror}); correct its permissions.")
    print(f"{model} is deleted; {gigabytes(size)} are free again.")


def _forget(model: str) -> None:
    if model in used_models(_settings().model, Path.home()):
        _refuse(f"{model} is in use; choose another one first with `punie models use`.")
    forget_model(model)
    print(f"{model} is no longer listed; `punie pipeline gc` deletes its files in time.")


def _resolve(model: str) -> ModelChoice:
    try:
        return resolve_model(model)
    except ModelUnavailable as error:
        _refuse(str(error))


def _use_served(choice: ModelChoice) -> None:
    try:
        served = find_model(needed_endpoint(endpoint_of(_settings()), choice.id), choice.id)
        _choose(choice)
    except (ModelUnavailable, SettingsError) as error:
        _refuse(str(error))
    if served.window is None:
        say(f"{window_text(None)} in your settings.")
    _tell_what_wins(choice)


def _info_of_served(choice: ModelChoice, as_json: bool) -> None:
    try:
        endpoint = needed_endpoint(endpoint_of(_settings()), choice.id)
        model = find_model(endpoint, choice.id)
    except ModelUnavailable as error:
        _refuse(str(error))
    used = used_models(_settings().model, Path.home())
    if as_json:
        (found,) = served_json(Served(endpoint, (model,)), used)
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    print(f"{choice.id}{' (in use)' if choice.id in used else ''}")
    print(f"  server        {endpoint.url}")
    print(f"  reads         {window_text(model.window).removeprefix('reads ')}")


def _why_not_served(served: Served | None) -> str:
    if served is None:
        return "no server is named; set openai_url"
    return "not among what the server tells" if served.models else "on the server below"


def _settings() -> Settings:
    try:
        return load_settings(Path.cwd())
    except SettingsError as error:
        _refuse(str(error))


def _fit(folder: Path, weights: int) -> Fit:
    architecture = read_architecture(read_json_object(folder / "config.json"))
    return fits(architecture, weights, machine_memory(), context=USUAL_CONTEXT)


def _refuse(sentence: str) -> NoReturn:
    say(sentence)
    raise typer.Exit(1)
