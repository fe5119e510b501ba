"""Which language models there are, and how a reference to one is understood.

Light on purpose: nothing here imports pydantic-ai, MLX or transformers, and nothing opens the
network. Opening a model is `punie.models.load`'s work.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from punie.models.architecture import quantization_of, read_architecture
from punie.models.hub import is_hub_id, repositories, repository
from punie.models.machine import machine_memory
from punie.models.made import made_model, made_models
from punie.models.memory import Level, fits, gigabytes

BUNDLED_ID = "punie-tiny"
SCRIPT_PREFIX = "scripted:"
ENDPOINT_PREFIX = "openai:"

USUAL_CONTEXT = 32_768
"""Tokens that a session in a project often comes to; what models are judged by."""

PULL_AGAIN = "pull or convert the model again"
"""The cure for files that are not whole."""

FITS: dict[Level, str] = {
    "fits": "fits",
    "tight": "fits when other programs are closed",
    "short": "fits with less context",
    "no": "too big for this machine",
}
"""A verdict in a few words."""


class ModelUnavailable(Exception):  # noqa: N818 - it names a state, as the user reads it
    """A model cannot be used; the message is one sentence with the cure."""


@dataclass(frozen=True)
class ModelChoice:
    """One model that can be picked; `path` is its directory (or script), absolute.

    A model that a server has (`endpoint`) has none.
    """

    id: str
    title: str
    description: str
    source: Literal["bundled", "made", "directory", "hub", "scripted", "endpoint"]
    path: Path | None


def bundled_directory() -> Path:
    """Return where the bundled model lies inside the package, built or not."""
    return Path(__file__).parent / "tiny"


def available_models(settings_model: str | None) -> list[ModelChoice]:
    """List what can be picked: the configured model, the bundled one, those made here, the hub's.

    A model that could not be opened is left out, so the list holds only what would work.
    """
    choices: dict[str, ModelChoice] = {}
    for reference in (settings_model, None):
        try:
            choice = resolve_model(reference)
        except ModelUnavailable:
            continue
        choices.setdefault(choice.id, choice)
    for choice in (*_made_models(), *_cached_hub_models()):
        choices.setdefault(choice.id, choice)
    return list(choices.values())


def resolve_model(reference: str | None) -> ModelChoice:
    """Turn a reference into a model that lies on this machine, or that a server is to have.

    `reference` is None or "punie-tiny" (the bundled model), the name of a model that a pipeline
    made here, a directory, `scripted:` and the absolute path of a script, a hub id such as
    "org/name" that is already in the local hub cache, or `openai:` and what the server of the
    settings calls it; nothing is downloaded and nobody is asked. Raises `ModelUnavailable`.
    """
    text = (reference or BUNDLED_ID).strip()
    if text == BUNDLED_ID:
        return _bundled()
    if text.startswith(SCRIPT_PREFIX):
        return _scripted(text)
    if text.startswith(ENDPOINT_PREFIX):
        return _of_endpoint(text)
    made = made_model(text)
    if made is not None:
        return _made(text, made)
    directory = Path(text).expanduser()
    if directory.exists() or not is_hub_id(text):
        return _directory(directory)
    return _from_hub(text)


def read_json_object(path: Path) -> dict[str, Any]:
    """Read one of a model's JSON files; raise `ModelUnavailable` naming the file and the fault."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelUnavailable(
            f"The model in {path.parent} has no {path.name}; "
            "choose a directory that holds a whole MLX model."
        ) from None
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{path} cannot be read ({_first_line(error)}); {PULL_AGAIN}."
        ) from error
    if not isinstance(content, dict):
        raise ModelUnavailable(f"{path} does not hold a JSON object; {PULL_AGAIN}.")
    return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _bundled() -> ModelChoice:
    path = bundled_directory()
    if not any(path.glob("model*.safetensors")):
        raise ModelUnavailable(
            "The bundled model's weights have not been built in this copy of Punie; "
            "train them as docs/tiny-model.md tells, or choose another model."
        )
    _check_directory(path)
    return ModelChoice(
        id=BUNDLED_ID,
        title="Punie Tiny (bundled)",
        description="A demonstration model of a few million parameters; works without a download",
        source="bundled",
        path=path,
    )


def _scripted(reference: str) -> ModelChoice:
    path = Path(reference.removeprefix(SCRIPT_PREFIX)).expanduser()
    if not path.is_absolute():
        raise ModelUnavailable(
            f"The script path in {reference!r} is relative; "
            f"write it as {SCRIPT_PREFIX}/absolute/path.json."
        )
    if not path.is_file():
        raise ModelUnavailable(f"The script {path} does not exist; name a JSON file that does.")
    return ModelChoice(
        id=SCRIPT_PREFIX + str(path),
        title=f"Script {path.name}",
        description="Prepared answers from a file, for tests and demonstrations",
        source="scripted",
        path=path,
    )


def _of_endpoint(reference: str) -> ModelChoice:
    name = reference.removeprefix(ENDPOINT_PREFIX).strip()
    if not name:
        raise ModelUnavailable(
            f"{ENDPOINT_PREFIX} names no model; write it as {ENDPOINT_PREFIX}NAME, with the name "
            "that the server has for it."
        )
    return ModelChoice(
        id=ENDPOINT_PREFIX + name,
        title=name.rpartition("/")[2] or name,
        description=f"{name}, on the server that openai_url names",
        source="endpoint",
        path=None,
    )


def _directory(directory: Path) -> ModelChoice:
    if not directory.is_dir():
        raise ModelUnavailable(
            f"There is no model directory {directory}; set the model to a directory that holds "
            f"an MLX model, to the id of a downloaded hub model, or to {BUNDLED_ID}."
        )
    path = directory.resolve()
    config = _check_directory(path)
    return ModelChoice(
        id=str(path),
        title=path.name,
        description=f"{_size_and_fit(path, config)}; MLX model in {path}",
        source="directory",
        path=path,
    )


def _made(name: str, directory: Path) -> ModelChoice:
    config = _check_directory(directory)
    return ModelChoice(
        id=name,
        title=name,
        description=f"{_size_and_fit(directory, config)}; made here by the pipeline {name}",
        source="made",
        path=directory,
    )


def _made_models() -> Iterator[ModelChoice]:
    for name, folder in made_models():
        try:
            yield _made(name, folder)
        except ModelUnavailable:
            continue


def _from_hub(hub_id: str) -> ModelChoice:
    snapshot = repository(hub_id).snapshot
    if snapshot is None:
        raise ModelUnavailable(
            f"The model {hub_id} is not on this machine; "
            f"download it first with `punie models pull {hub_id}`."
        )
    return _hub_choice(hub_id, snapshot)


def _hub_choice(hub_id: str, snapshot: Path) -> ModelChoice:
    config = _check_directory(snapshot)
    return ModelChoice(
        id=hub_id,
        title=hub_id.partition("/")[2],
        description=f"{_size_and_fit(snapshot, config)}; {hub_id}",
        source="hub",
        path=snapshot,
    )


def _size_and_fit(path: Path, config: Mapping[str, Any]) -> str:
    """Say in a few words how big a model is and whether it fits; costs two looks at each file."""
    size = weight_bytes(path)
    quantization = quantization_of(config)
    bits = "" if quantization is None else f", {quantization.bits}-bit"
    machine = machine_memory(measure_free=False)
    fit = fits(read_architecture(config), size, machine, context=USUAL_CONTEXT)
    return f"{gigabytes(size)}{bits}, {FITS[fit.level]}"


def weight_bytes(directory: Path) -> int:
    """Return the size of a model's weight files, without opening them."""
    return sum(file.stat().st_size for file in directory.glob("model*.safetensors"))


def _check_directory(path: Path) -> dict[str, Any]:
    """Return the content of a model's config.json, if the files that it takes are there."""
    config = read_json_object(path / "config.json")
    if not any(path.glob("model*.safetensors")):
        raise ModelUnavailable(
            f"The model in {path} has no weights (model*.safetensors); {PULL_AGAIN}."
        )
    if not (path / "tokenizer.json").is_file():
        raise ModelUnavailable(f"The model in {path} has no tokenizer.json; {PULL_AGAIN}.")
    return config


def _cached_hub_models() -> Iterator[ModelChoice]:
    for found in repositories():
        snapshot = found.snapshot
        if snapshot is None:
            continue
        try:
            choice = _hub_choice(found.id, snapshot)
        except ModelUnavailable:
            continue
        config = read_json_object(snapshot / "config.json")
        if str(config.get("model_type", "")).startswith("qwen"):
            yield choice
