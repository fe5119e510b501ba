"""What a step's input is, told by its content alone: where it lies does not matter."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from punie.models.architecture import read_architecture
from punie.training.data.dataset import MANIFEST, open_dataset
from punie.training.errors import TrainingError
from punie.training.hashing import file_hash, folder_hash, value_hash
from punie.training.output import write_text
from punie.training.pipeline.step import Artifact

_MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
_ADAPTER_FILES = ("adapters.safetensors", "adapter_config.json")
_MEMORY = "hashes.json"


class Hashes:
    """Hashes of files, remembered by size and time of change, since a large model takes minutes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _MEMORY
        self._known: dict[str, list[str]] = {}
        with suppress(OSError, ValueError):
            self._known = json.loads(self._file.read_text(encoding="utf-8"))

    def of_file(self, file: Path) -> str:
        """Return the SHA-256 of a file."""
        place = file.resolve()
        found = place.stat()
        stamp = f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
        known = self._known.get(str(place))
        if known is not None and known[0] == stamp:
            return known[1]
        digest = file_hash(place)
        self._known[str(place)] = [stamp, digest]
        # It only saves time: without room for it everything works as well.
        with suppress(TrainingError):
            write_text(self._file, json.dumps(self._known))
        return digest


def content_hash(artifact: Artifact, folder: Path, hashes: Hashes) -> str:
    """Return one hash of all that a step can read of an input.

    Raises:
        TrainingError: it is not there, or is not what it is taken for.
    """
    try:
        if artifact == "dataset":
            return _of_dataset(folder, hashes)
        if artifact == "model":
            weights = sorted(file.name for file in folder.glob("*.safetensors"))
            return _of_files(folder, ["config.json"], (*_MODEL_FILES, *weights), hashes)
        if artifact == "adapter":
            return _of_files(folder, _ADAPTER_FILES, _ADAPTER_FILES, hashes)
        return folder_hash(folder)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be read ({error.strerror or error}).") from error


def shape_hash(config: Mapping[str, Any]) -> str:
    """Return a hash of a model's shape from its config.json: equal where time and memory are."""
    architecture = read_architecture(config)
    return value_hash(None if architecture is None else asdict(architecture))


def _of_files(folder: Path, needed: Sequence[str], names: Sequence[str], hashes: Hashes) -> str:
    for name in needed:
        if not (folder / name).is_file():
            raise TrainingError(f"There is no {name} in {folder}; name the folder that has it.")
    return value_hash(
        {name: hashes.of_file(folder / name) for name in names if (folder / name).is_file()}
    )


def _of_dataset(folder: Path, hashes: Hashes) -> str:
    dataset = open_dataset(folder)
    for name, part in dataset.manifest.parts.items():
        if hashes.of_file(dataset.file(name)) != part.sha256:
            raise TrainingError(
                f"{dataset.file(name)} is not what {MANIFEST} says of it any more; make the "
                "dataset again, or bring it in anew with `punie dataset import`."
            )
    return dataset.hash
