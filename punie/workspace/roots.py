"""Which of a workspace's roots a file belongs to: the innermost, where roots lie in each other."""

from collections.abc import Sequence
from pathlib import Path


def root_around(roots: Sequence[Path], path: Path) -> Path | None:
    """Return the innermost root that a path is in, None if it is in none."""
    holding = (root for root in roots if path.is_relative_to(root))
    return max(holding, key=lambda root: len(root.parts), default=None)


def widest_first(folders: Sequence[Path]) -> list[Path]:
    """Return folders in their order, but one that lies in another one after that."""
    return sorted(folders, key=lambda folder: sum(map(folder.is_relative_to, folders)))


def root_of(roots: Sequence[Path], path: Path) -> Path:
    """Return the innermost root of a path of the workspace; raise `ValueError` for another one."""
    root = root_around(roots, path)
    if root is None:
        raise ValueError(f"{path} is in no root")
    return root
