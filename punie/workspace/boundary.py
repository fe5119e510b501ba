"""Which paths belong to the workspace, decided on real paths so that no link leads out."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.workspace.base import OutsideWorkspaceError, WorkspaceError
from punie.workspace.beneath import HeldPath, hold

_SHOWN_CHARS = 300
_MAX_ROUNDS = 40


def visible_name(name: str) -> str:
    """Return a file name that is safe in one line of text: control and broken characters escaped.

    Names that are not UTF-8 reach Python with lone surrogates, which no JSON writer accepts.
    """
    if name.isprintable():
        return name
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in name
    )


@dataclass(frozen=True)
class Boundary:
    """The roots as they were given, and the same roots with every symbolic link resolved."""

    roots: tuple[Path, ...]
    real_roots: tuple[Path, ...]

    def locate(self, path: str) -> Path:
        """Return the absolute path, below a root as given and free of links below that root.

        Relative paths start at the first root. Raises `OutsideWorkspaceError` when the path leads
        out of every root and `WorkspaceError` when it is no path at all.
        """
        shown = visible_name(path[:_SHOWN_CHARS])
        if not path.strip():
            raise WorkspaceError('the path is empty; "." is the workspace itself')
        try:
            usable = "\0" not in path and bool(os.fsencode(path))
        except UnicodeEncodeError:
            usable = False
        if not usable:
            raise WorkspaceError(f"{shown} cannot be the path of a file")
        if path.startswith("~"):
            raise OutsideWorkspaceError(
                f"{shown} is a home folder; only paths inside the workspace are "
                "allowed, relative to its root"
            )
        # Joining an absolute path replaces the root, which is what is wanted here.
        asked = self.roots[0] / path
        inside = self._below_root(_real(asked))
        if inside is not None:
            return inside
        lexical = Path(os.path.normpath(asked))
        if any(lexical.is_relative_to(root) for root in (*self.roots, *self.real_roots)):
            raise OutsideWorkspaceError(
                f"{shown} leads outside the workspace through a symbolic link"
            )
        raise OutsideWorkspaceError(
            f"{shown} is outside the workspace; use a path inside it, relative to its root"
        )

    def locate_entry(self, path: str) -> Path:
        """Return the absolute path of something to move or delete; raise as `locate` does.

        A symbolic link is refused, because its target would be meant, and so is a root.
        """
        inside = self.locate(path)
        shown = visible_name(path[:_SHOWN_CHARS])
        if os.path.islink(os.path.normpath(self.roots[0] / path)):  # noqa: PTH114, never raises
            raise WorkspaceError(f"{shown} is a symbolic link; use run_command with mv or rm")
        if inside in self.roots:
            raise WorkspaceError(f"{shown} is a folder of the workspace itself and stays")
        return inside

    def verify(self, path: Path) -> Path:
        """Return the real path as it is now; raise `OutsideWorkspaceError` if it leads out."""
        return self._real_below(path)[1]

    @contextlib.contextmanager
    def hold(self, path: Path, *, create: bool = False) -> Iterator[HeldPath]:
        """Hold a path as `locate` gave it, however links change; make its folders with `create`.

        Links may have been made after `locate`. Raises `OutsideWorkspaceError` if one is on the way
        now, for it leads to what nobody has looked at, and `OSError`.
        """
        root, real = self._real_below(path)
        if not any(
            path.is_relative_to(given) and real == below / path.relative_to(given)
            for given, below in zip(
                (*self.roots, *self.real_roots), self.real_roots * 2, strict=True
            )
        ):
            raise OutsideWorkspaceError(f"{self.display(path)} became a symbolic link just now")
        with hold(root, real, create=create) as held:
            yield held

    def _real_below(self, path: Path) -> tuple[Path, Path]:
        """Return the real root that a path lies in now, and where it really is."""
        real = _real(path)
        for root in self.real_roots:
            if real.is_relative_to(root):
                return root, real
        raise OutsideWorkspaceError(
            f"{self.display(path)} leads outside the workspace through a symbolic link"
        )

    def display(self, path: Path) -> str:
        """Return `path` relative to the first root, or absolute when it is not below it."""
        if path.is_relative_to(self.roots[0]):
            return visible_name(path.relative_to(self.roots[0]).as_posix())
        return visible_name(str(path))

    def _below_root(self, real: Path) -> Path | None:
        for root, real_root in zip(self.roots, self.real_roots, strict=True):
            if real.is_relative_to(real_root):
                return root / real.relative_to(real_root)
        return None


def _real(path: Path) -> Path:
    # Unlike Path.resolve, realpath never raises on a loop of links; opening the path does later.
    # But behind a loop it leaves links as they are ("loop/../link"), so it is repeated.
    try:
        real = os.path.realpath(path)
        for _ in range(_MAX_ROUNDS):
            further = os.path.realpath(real)
            if further == real:
                return Path(real)
            real = further
    except OSError as error:
        # A link of /proc that is not to be looked at, for one.
        raise OutsideWorkspaceError("a symbolic link of this path cannot be read") from error
    raise OutsideWorkspaceError("the symbolic links of this path lead nowhere")


def boundary_around(roots: Sequence[Path]) -> Boundary:
    """Return the boundary of the given folders; raise `ValueError` when there is none."""
    if not roots:
        raise ValueError("a workspace needs at least one root")
    given = tuple(Path(os.path.abspath(root)) for root in roots)  # noqa: PTH100, keeps links
    return Boundary(given, tuple(_real(root) for root in given))
