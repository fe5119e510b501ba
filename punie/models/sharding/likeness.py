"""What has to be the same on all machines that share a model."""

import hashlib
import importlib.metadata
from pathlib import Path

from punie import __version__

_SAMPLE = 65_536
_PACKAGES = ("mlx", "mlx-lm")


def versions() -> dict[str, str]:
    """Return the versions of what runs the model."""
    return {"punie": __version__, **{name: importlib.metadata.version(name) for name in _PACKAGES}}


def model_fingerprint(directory: Path) -> str:
    """Return what tells a model from every other one, wherever its files lie.

    It takes in the configuration, and of each file of weights its size, its header and pieces of
    its content: reading all of a large model would take minutes.
    """
    hashed = hashlib.blake2b(digest_size=16)
    hashed.update((directory / "config.json").read_bytes())
    for file in sorted(directory.glob("model*.safetensors")):
        size = file.stat().st_size
        hashed.update(f"{file.name} {size} ".encode())
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            hashed.update(opened.read(min(length, size)))
            for place in (opened.tell(), size // 2, max(0, size - _SAMPLE)):
                opened.seek(place)
                hashed.update(opened.read(_SAMPLE))
    return hashed.hexdigest()
