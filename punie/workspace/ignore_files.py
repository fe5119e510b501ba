"""Which entries of one folder ignore files leave out, by the rules that ripgrep goes by.

The nearest file that says something counts; `.rgignore` and `.ignore` come before `.gitignore`,
which counts up to the repository's root and no further. Source: the guide of ripgrep, "Automatic
filtering", and gitignore(5). A user's own excludes file is not looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_OWN = (".rgignore", ".ignore")
_MAX_BYTES = 1 << 20


def ignored_names(folder: Path, entries: Iterable[tuple[str, bool]]) -> frozenset[str]:
    """Return which of the entries (name, whether it is a folder) of `folder` are ignored.

    Nothing is, in a folder that is ignored itself. `.git` always is.
    """
    levels = list(_levels(folder))
    if not levels:
        return frozenset(name for name, _ in entries if name == ".git")
    if any(_ignored(levels, parent, is_folder=True) for parent in _below(folder, levels)):
        return frozenset()
    return frozenset(
        name
        for name, is_folder in entries
        if name == ".git" or _ignored(levels, folder / name, is_folder=is_folder)
    )


class _Level:
    """The ignore files of one folder, the stronger kind first; `git` is the weakest."""

    def __init__(
        self, folder: Path, own: Sequence["GitIgnoreSpec"], git: Sequence["GitIgnoreSpec"]
    ):
        self.folder = folder
        self.own = own
        self.git = git


def _levels(folder: Path) -> Iterator[_Level]:
    """Yield the folders, upwards, whose ignore files say something."""
    in_repository = True
    for parent in (folder, *folder.parents):
        own = [spec for name in _OWN if (spec := _read(parent / name)) is not None]
        git: list[GitIgnoreSpec] = []
        if in_repository:
            files = (parent / ".gitignore", parent / ".git" / "info" / "exclude")
            git = [spec for path in files if (spec := _read(path)) is not None]
            in_repository = not (parent / ".git").exists()
        if own or git:
            yield _Level(parent, own, git)


def _below(folder: Path, levels: Sequence[_Level]) -> Iterator[Path]:
    """Yield the folders that the outermost ignore file could leave out, `folder` among them."""
    outermost = levels[-1].folder
    for parent in (folder, *folder.parents):
        if parent == outermost:
            return
        yield parent


def _ignored(levels: Sequence[_Level], path: Path, *, is_folder: bool) -> bool:
    own: bool | None = None
    git: bool | None = None
    for level in levels:
        if not path.is_relative_to(level.folder) or path == level.folder:
            continue
        name = path.relative_to(level.folder).as_posix() + ("/" if is_folder else "")
        own = _first(own, level.own, name)
        git = _first(git, level.git, name)
    return bool(git if own is None else own)


def _first(known: bool | None, specs: Sequence["GitIgnoreSpec"], name: str) -> bool | None:
    for spec in specs:
        if known is None:
            known = spec.check_file(name).include
    return known


def _read(path: Path) -> "GitIgnoreSpec | None":
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
    except OSError:
        return None
    return _compiled(data.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff"))


@lru_cache(maxsize=128)
def _compiled(text: str) -> "GitIgnoreSpec | None":
    # Not at the top: a session that lists no folder does not need it.
    from pathspec import GitIgnoreSpec

    lines = []
    for line in text.splitlines():
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue  # Ripgrep leaves out what it cannot read, too.
        lines.append(line)
    spec = GitIgnoreSpec.from_lines(lines)
    return spec if spec.patterns else None
