"""Which entries of one folder ignore files leave out, by the rules that ripgrep goes by.

The nearest file that says something counts; `.rgignore` and `.ignore` come before `.gitignore`,
which counts up to the repository's root and no further. Source: the guide of ripgrep, "Automatic
filtering", and gitignore(5). A user's own excludes file is not looked at.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from punie.plain_files import read_plain

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_OWN = (".rgignore", ".ignore")
_MAX_BYTES = 1 << 20
# Each further star takes a regular expression a hundred times as long, with all else waiting.
_PATTERN_CHARS = 500
_MOST_STARS = 4
_STARS = re.compile(r"\*+")


@dataclass(frozen=True)
class _Level:
    """The ignore files of one folder, the stronger first; `own` ones are stronger than git's."""

    prefix: int
    """Characters of the folder's path with its last slash."""
    own: tuple["GitIgnoreSpec", ...]
    git: tuple["GitIgnoreSpec", ...]


class IgnoreRules:
    """What ignore files say of the entries below one folder; every file of them is read once."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is looked into whatever is said of it."""
        self._folder = folder
        self._levels: dict[Path, tuple[_Level, ...]] = {}
        self._folders: dict[Path, bool] = {folder: False}
        # Inside a folder that is ignored nothing is.
        self._ignored = any(
            self._says(parent, is_folder=True) for parent in (folder, *folder.parents)
        )

    def ignores(self, path: Path, *, is_folder: bool) -> bool:
        """Tell whether an entry below the folder, or a folder around it there, is ignored."""
        if path.name == ".git":
            return True
        if self._ignored:
            return False
        parent = path.parent
        if parent not in self._folders:
            self._folders[parent] = self.ignores(parent, is_folder=True)
        return self._folders[parent] or self._says(path, is_folder=is_folder)

    def _says(self, path: Path, *, is_folder: bool) -> bool:
        own: bool | None = None
        git: bool | None = None
        whole = os.fspath(path) + ("/" if is_folder else "")
        for level in self._above(path.parent):
            name = whole[level.prefix :]
            own = _first(own, level.own, name)
            git = _first(git, level.git, name)
        return bool(git if own is None else own)

    def _above(self, folder: Path) -> tuple[_Level, ...]:
        """Return what is said in a folder and those around it, the nearest first."""
        known = self._levels.get(folder)
        if known is not None:
            return known
        around = self._above(folder.parent) if folder != folder.parent else ()
        # Strings, because this is done for every folder in which something was found.
        base = os.path.join(folder, "")  # noqa: PTH118
        own = [_read(base + name) for name in _OWN]
        git = [_read(f"{base}.gitignore")]
        if os.path.exists(f"{base}.git"):  # noqa: PTH110, never raises
            around = tuple(_Level(level.prefix, level.own, ()) for level in around)
            git.append(_read(f"{base}.git/info/exclude"))
        level = _Level(
            len(base),
            tuple(spec for spec in own if spec is not None),
            tuple(spec for spec in git if spec is not None),
        )
        found = (level, *around) if level.own or level.git else around
        self._levels[folder] = found
        return found


def ignored_names(folder: Path, entries: Iterable[tuple[str, bool]]) -> frozenset[str]:
    """Return which of the entries (name, whether it is a folder) of `folder` are ignored.

    Nothing is, in a folder that is ignored itself. `.git` always is.
    """
    rules = IgnoreRules(folder)
    return frozenset(
        name for name, is_folder in entries if rules.ignores(folder / name, is_folder=is_folder)
    )


def _first(known: bool | None, specs: Sequence["GitIgnoreSpec"], name: str) -> bool | None:
    for spec in specs:
        if known is None:
            known = spec.check_file(name).include
    return known


def _read(path: str) -> "GitIgnoreSpec | None":
    try:
        data = read_plain(path, _MAX_BYTES, cut=True)
    except OSError:
        return None
    return _compiled(data.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff"))


@lru_cache(maxsize=128)
def _compiled(text: str) -> "GitIgnoreSpec | None":
    # Not at the top: a session that lists no folder does not need it.
    from pathspec import GitIgnoreSpec

    lines = []
    for line in text.splitlines():
        if len(line) > _PATTERN_CHARS or len(_STARS.findall(line)) > _MOST_STARS:
            continue
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue  # Ripgrep leaves out what it cannot read, too.
        lines.append(line)
    spec = GitIgnoreSpec.from_lines(lines)
    return spec if spec.patterns else None
