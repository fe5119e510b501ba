"""What files hold before a command runs, so that it can be brought back after it.

What git has need not be copied. All else is copied once, into a file without a name that is gone
with the process; only what a command really changed goes from there into the session's store.
"""

import os
import re
import tempfile
import time
from pathlib import Path
from typing import IO

from punie.plain_files import read_plain
from punie.workspace.checkpoints.git_index import GitFile, GitIndex, read_index
from punie.workspace.checkpoints.states import MAX_KEPT_BYTES, read_regular
from punie.workspace.checkpoints.tree import Entry, Tree

MAX_COPIED_BYTES = 512 * 1024 * 1024
"""Bytes that are copied of one project."""

COPY_SECONDS = 5.0
"""Seconds that copying may take before one command; it goes on before the next one."""

_ATTRIBUTES = ".gitattributes"
_SETTINGS_BYTES = 1 << 20
_CHANGING = re.compile(rb"filter|ident|working-tree-encoding|eol=crlf")
_CONVERTING = re.compile(rb"autocrlf\s*=\s*(?!false)", re.IGNORECASE)

Copied = tuple[int, int]
"""Where the bytes of a file are among the copies: from which one on, and how many."""


class Baseline:
    """The copies for one workspace below `folder`, and what git has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies: IO[bytes] | None = None
        self._end = 0
        self._index: GitIndex | None = None

    @property
    def git_top(self) -> Path | None:
        """The folder of the work tree whose files git has."""
        return None if self._index is None else self._index.top

    def capture(self, tree: Tree) -> None:
        """Make sure of the contents of all entries that have none yet; raise `OSError`.

        What is too large, unreadable, or too much altogether, stays without.
        """
        missing = [(path, entry) for path, entry in tree.paths() if _lacks(entry)]
        if not missing:
            return
        self._index = read_index(Path(tree.root))
        files: dict[str, GitFile] = {}
        if self._index is not None and not _has_filters(tree, self._index.top):
            files = self._index.files
        deadline = time.monotonic() + COPY_SECONDS
        for path, entry in missing:
            if entry.is_link:
                entry.content = os.readlink(path)  # noqa: PTH115, exact
                continue
            known = files.get(path)
            if known is not None and known.is_as(entry.size, entry.stat[2], entry.stat[4]):
                entry.content = known
            elif self._end + entry.size <= MAX_COPIED_BYTES and time.monotonic() < deadline:
                entry.content = self._copy(path)

    def bytes_of(self, entry: Entry) -> bytes | None:
        """Return what was copied of a file, None if that was not done."""
        if isinstance(entry.content, tuple) and self._copies is not None:
            start, size = entry.content
            return os.pread(self._copies.fileno(), size, start)
        return None

    def close(self) -> None:
        """Let go of all copies."""
        if self._copies is not None:
            self._copies.close()
            self._copies = None

    def _copy(self, path: str) -> Copied | None:
        try:
            data = read_regular(path)
        except OSError:
            return None
        if self._copies is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._copies = tempfile.TemporaryFile(  # noqa: SIM115, closed with the workspace
                dir=self._folder, buffering=0
            )
        self._copies.write(data)
        start, self._end = self._end, self._end + len(data)
        return start, len(data)


def _lacks(entry: Entry) -> bool:
    return entry.content is None and not entry.is_folder and entry.size <= MAX_KEPT_BYTES


def _has_filters(tree: Tree, top: Path) -> bool:
    """Tell whether git may change contents on their way, by what its files for that say."""
    root = Path(tree.root)
    places = [Path(folder) for folder, found in tree.folders.items() if _ATTRIBUTES in found]
    places += [folder for folder in root.parents if folder.is_relative_to(top)]
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    files = [folder / _ATTRIBUTES for folder in places]
    files += [top / ".git/info/attributes", home / "git/attributes"]
    configs = (top / ".git/config", Path("~/.gitconfig").expanduser(), home / "git/config")
    return any(_CHANGING.search(_text(file)) for file in files) or any(
        _CONVERTING.search(_text(file)) for file in configs
    )


def _text(path: Path) -> bytes:
    try:
        return read_plain(path, _SETTINGS_BYTES, cut=True)
    except OSError:
        return b""


def in_git(entry: Entry) -> GitFile | None:
    """Return what git has of a file, None if it was not asked for that."""
    return entry.content if isinstance(entry.content, GitFile) else None
