"""A quick look at all files below a folder, by what the system knows of them without reading them.

Left out are what ignore files leave out, version control, virtual environments and caches.
"""

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from punie.workspace.ignore_files import IgnoreRules

MAX_ENTRIES = 200_000
"""Trees of more files and folders are not looked through."""

SCAN_SECONDS = 5.0
"""A tree that takes longer is not looked through either."""

SKIPPED = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "node_modules",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
        ".tox",
        ".nox",
    }
)
"""Folders, by name, that are never looked into; nor is one with a `pyvenv.cfg`."""

_IGNORE_FILES = (".gitignore", ".ignore", ".rgignore")
_ENVIRONMENT = "pyvenv.cfg"
# Clocks of file systems are this coarse: a later change may carry the same time.
_COARSE_NS = 50_000_000

Stat = tuple[int, int, int, int, int]
"""Mode with file type, size, time of change of the content and of the entry in ns, and inode."""


class TooLargeTreeError(Exception):
    """There is too much to look through; the message is a clause on what."""


class Entry:
    """One file, link or folder: what the system says of it, and where its content was kept.

    `content` is of whoever keeps contents. `fresh` tells that it was changed so shortly before it
    was looked at that its times cannot tell of a change after that.
    """

    __slots__ = ("content", "fresh", "stat")

    def __init__(self, found: Stat, fresh: bool) -> None:
        self.stat = found
        self.fresh = fresh
        self.content: object = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.stat[0])

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.stat[0])

    @property
    def mode(self) -> int:
        """The permission bits."""
        return stat.S_IMODE(self.stat[0])

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.stat[1]


@dataclass
class Tree:
    """The entries below a root, by folder and name; `ignored` are names that are left out.

    `rules` are the ignore files that were there; what is ignored is known while they are the same.
    """

    root: str
    folders: dict[str, dict[str, Entry]] = field(default_factory=dict)
    ignored: dict[str, set[str]] = field(default_factory=dict)
    rules: dict[str, Stat] = field(default_factory=dict)
    taken_ns: int = 0

    def paths(self) -> Iterator[tuple[str, Entry]]:
        """Return all entries by their paths."""
        for folder, entries in self.folders.items():
            for name, entry in entries.items():
                yield f"{folder}/{name}", entry


def scan(root: Path, before: Tree | None = None, *, but: Path | None = None) -> Tree:
    """Look through a folder; entries that have not changed since `before` are the same objects.

    The folder `but` in it is left out. Raises `TooLargeTreeError`.
    """
    skipped = "" if but is None else os.fspath(but)
    if before is not None:
        tree = _Scan(root, before, skipped, asks_all=False).run()
        if tree.rules == before.rules:
            return tree
        # What was known of ignored names does not hold any more.
        before = Tree(before.root, before.folders)
    return _Scan(root, before or Tree(""), skipped, asks_all=True).run()


class _Scan:
    """One way through a tree."""

    def __init__(self, root: Path, known: Tree, skipped: str, *, asks_all: bool) -> None:
        self._tree = Tree(os.fspath(root).rstrip("/"), taken_ns=time.time_ns())
        self._known = known
        self._skipped = skipped
        self._asks_all = asks_all
        self._rules = IgnoreRules(root)
        self._waiting = [self._tree.root]

    def run(self) -> Tree:
        deadline = time.monotonic() + SCAN_SECONDS
        count = 0
        while self._waiting:
            folder = self._waiting.pop()
            if folder == self._skipped:
                continue
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
            except OSError:
                continue  # Gone, or closed to us: what is in it stays unknown.
            if folder != self._tree.root and any(each.name == _ENVIRONMENT for each in listed):
                continue
            count += self._take(folder, listed)
            if count > MAX_ENTRIES:
                raise TooLargeTreeError(f"this folder has more than {MAX_ENTRIES:,} files")
            if time.monotonic() > deadline:
                raise TooLargeTreeError("this folder takes too long to look through")
        return self._tree

    def _take(self, folder: str, listed: list["os.DirEntry[str]"]) -> int:
        old = self._known.folders.get(folder, {})
        old_ignored = self._known.ignored.get(folder, ())
        found: dict[str, Entry] = {}
        ignored: set[str] = set()
        fresh_since = time.time_ns() - _COARSE_NS
        for each in listed:
            name = each.name
            if name in SKIPPED:
                continue
            entry = old.get(name)
            is_folder = each.is_dir(follow_symlinks=False)
            if name in old_ignored or (
                (self._asks_all or entry is None or entry.is_folder != is_folder)
                and self._rules.ignores(Path(each.path), is_folder=is_folder)
            ):
                ignored.add(name)
                continue
            try:
                status = each.stat(follow_symlinks=False)
            except OSError:
                continue
            key = _key(status, is_folder=is_folder)
            if is_folder:
                self._waiting.append(each.path)
            elif not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                continue
            elif name in _IGNORE_FILES:
                self._tree.rules[each.path] = key
            if entry is None or entry.stat != key or entry.fresh:
                entry = Entry(key, not is_folder and status.st_ctime_ns >= fresh_since)
            found[name] = entry
        self._tree.folders[folder] = found
        if ignored:
            self._tree.ignored[folder] = ignored
        return len(found)


def _key(status: os.stat_result, *, is_folder: bool) -> Stat:
    if is_folder:
        return status.st_mode, 0, 0, 0, status.st_ino
    return (
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )


@dataclass(frozen=True)
class Difference:
    """A path that is not as it was: its entry then and now, None where there was or is none."""

    path: str
    old: Entry | None
    new: Entry | None


def differences(before: Tree, now: Tree) -> Iterator[Difference]:
    """Return what differs, or may: a fresh file may have changed without a trace."""
    same_rules = before.rules == now.rules
    for folder in before.folders.keys() | now.folders.keys():
        old, new = before.folders.get(folder, {}), now.folders.get(folder, {})
        for name in old.keys() | new.keys():
            then, after = old.get(name), new.get(name)
            if then is after:
                continue
            path = f"{folder}/{name}"
            if not same_rules and (then is None or after is None):
                # It may only have come under other rules.
                if after is None and os.path.lexists(path):
                    continue
                if then is None and after is not None and _was_there(after, before):
                    continue
            yield Difference(path, then, after)


def _was_there(entry: Entry, before: Tree) -> bool:
    return entry.is_folder or entry.stat[3] < before.taken_ns - _COARSE_NS
