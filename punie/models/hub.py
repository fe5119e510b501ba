"""The hub's cache on this machine: which models lie in it, and taking one out.

The layout is that of huggingface_hub, which shares it: a folder for each repository with `blobs`
named by their checksum, `snapshots` of links to them by commit, and `refs` from branch to commit.
Light, and without a network.
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INCOMPLETE = ".incomplete"
"""What the name of a blob ends with while it is being downloaded."""

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PREFIX = "models--"


@dataclass(frozen=True)
class Repository:
    """A model's folder in the cache; `id` is "organisation/name"."""

    id: str
    folder: Path

    @property
    def snapshot(self) -> Path | None:
        """The files of the main branch, None while they have not been downloaded whole."""
        try:
            commit = (self.folder / "refs" / "main").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        snapshot = self.folder / "snapshots" / commit
        return snapshot if commit and (snapshot / "config.json").is_file() else None

    @property
    def unfinished(self) -> int:
        """Bytes of downloads that were interrupted; the next pull goes on from there."""
        parts = (self.folder / "blobs").glob(f"*{INCOMPLETE}")
        return sum(part.stat().st_size for part in parts)

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        files = (path for path in self.folder.rglob("*") if not path.is_symlink())
        return sum(path.stat().st_size for path in files if path.is_file())


def is_hub_id(text: str) -> bool:
    """Tell whether a text has the form of a repository's id."""
    return _ID.fullmatch(text) is not None and ".." not in text and "--" not in text


def cache_folder() -> Path:
    """Return where the hub's cache is, as huggingface_hub decides it."""
    if cache := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).expanduser() / "huggingface" / "hub"


def repository(hub_id: str) -> Repository:
    """Return the folder of a repository, there or not."""
    return Repository(hub_id, cache_folder() / (_PREFIX + hub_id.replace("/", "--")))


def repositories() -> Iterator[Repository]:
    """Yield the models in the cache by name, whole or not."""
    for folder in sorted(cache_folder().glob(f"{_PREFIX}*--*")):
        if folder.is_dir():
            yield Repository(folder.name.removeprefix(_PREFIX).replace("--", "/", 1), folder)


def remove(found: Repository) -> int:
    """Delete a repository and return the bytes that it took; raises `OSError`.

    It disappears at once and is then deleted, so that a half-deleted model is never taken for a
    whole one.
    """
    size = found.nbytes
    doomed = found.folder.with_name(f".deleting-{os.getpid()}-{found.folder.name}")
    found.folder.rename(doomed)
    shutil.rmtree(doomed)
    shutil.rmtree(cache_folder() / ".locks" / found.folder.name, ignore_errors=True)
    return size
