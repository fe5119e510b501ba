"""Which language models there are, and how a reference to one is understood.

Light on purpose: nothing here imports pydantic-ai, MLX or transformers, and nothing opens the
network. Opening a model is `punie.models.load`'s work.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

BUNDLED_ID = "punie-tiny"
SCRIPT_PREFIX = "scripted:"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class ModelUnavailable(Exception):  # noqa: N818 - it names a state, as the user reads it
    """A model cannot be used; the message is one sentence with the cure."""


@dataclass(frozen=True)
class ModelChoice:
    """One model that can be picked; `path` is its directory (or script), absolute."""

    id: str
    title: str
    description: str
    source: Literal["bundled", "directory", "hub", "scripted"]
    path: Path | None


def bundled_directory() -> Path:
    """Return where the bundled model lies inside the package, built or not."""
    return Path(__file__).parent / "tiny"


def available_models(settings_model: str | None) -> list[ModelChoice]:
    """List what can be picked: the configured model first, the bundled one, the hub cache.

    A model that could not be opened is left out, so the list holds only what would work.
    """
    choices: dict[str, ModelChoice] = {}
    for reference in (settings_model, None):
        try:
            choice = resolve_model(reference)
        except ModelUnavailable:
            continue
        choices.setdefault(choice.id, choice)
    for choice in _cached_hub_models():
        choices.setdefault(choice.id, choice)
    return list(choices.values())


def resolve_model(reference: str | None) -> ModelChoice:
    """Turn a reference into a model that lies on this machine.

    `reference` is None or "punie-tiny" (the bundled model), a directory, `scripted:` and the
    absolute path of a script, or a hub id such as "org/name" that is already in the local hub
    cache; nothing is downloaded. Raises `ModelUnavailable`.
    """
    text = (reference or BUNDLED_ID).strip()
    if text == BUNDLED_ID:
        return _bundled()
    if text.startswith(SCRIPT_PREFIX):
        return _scripted(text)
    directory = Path(text).expanduser()
    if directory.exists() or not _HUB_ID.fullmatch(text):
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
            f"{path} cannot be read ({_first_line(error)}); download or convert the model again."
        ) from error
    if not isinstance(content, dict):
        raise ModelUnavailable(
            f"{path} does not hold a JSON object; download or convert the model again."
        )
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


def _directory(directory: Path) -> ModelChoice:
    if not directory.is_dir():
        raise ModelUnavailable(
            f"There is no model directory {directory}; set the model to a directory that holds "
            f"an MLX model, to the id of a downloaded hub model, or to {BUNDLED_ID}."
        )
    path = directory.resolve()
    _check_directory(path)
    return ModelChoice(
        id=str(path),
        title=path.name,
        description=f"MLX model in {path}",
        source="directory",
        path=path,
    )


def _from_hub(hub_id: str) -> ModelChoice:
    snapshot = _snapshot(_hub_cache() / f"models--{hub_id.replace('/', '--')}")
    if snapshot is None:
        raise ModelUnavailable(
            f"The model {hub_id} is not on this machine; "
            f"download it first with `punie models pull {hub_id}`."
        )
    _check_directory(snapshot)
    return _hub_choice(hub_id, snapshot)


def _hub_choice(hub_id: str, snapshot: Path) -> ModelChoice:
    return ModelChoice(
        id=hub_id,
        title=hub_id.partition("/")[2],
        description=f"Downloaded from the hub ({hub_id})",
        source="hub",
        path=snapshot,
    )


def _check_directory(path: Path) -> None:
    read_json_object(path / "config.json")
    if not any(path.glob("model*.safetensors")):
        raise ModelUnavailable(
            f"The model in {path} has no weights (model*.safetensors); "
            "download or convert the model again."
        )
    if not (path / "tokenizer.json").is_file():
        raise ModelUnavailable(
            f"The model in {path} has no tokenizer.json; download or convert the model again."
        )


def _hub_cache() -> Path:
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "huggingface" / "hub"


def _snapshot(repository: Path) -> Path | None:
    try:
        revision = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    snapshot = repository / "snapshots" / revision
    return snapshot if (snapshot / "config.json").is_file() else None


def _cached_hub_models() -> Iterator[ModelChoice]:
    for repository in sorted(_hub_cache().glob("models--*--*")):
        snapshot = _snapshot(repository)
        if snapshot is None:
            continue
        try:
            _check_directory(snapshot)
            config = read_json_object(snapshot / "config.json")
        except ModelUnavailable:
            continue
        if str(config.get("model_type", "")).startswith("qwen"):
            _, organisation, name = repository.name.split("--", 2)
            yield _hub_choice(f"{organisation}/{name}", snapshot)
