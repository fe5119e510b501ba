"""Other people's code that a project imports, looked through for a word."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

MAX_FILES = 8_000
"""Of more files nobody can say what they hold."""

_SUFFIXES = (".py", ".pyi")
_PACKAGES = ("site-packages", "dist-packages")


def texts_with(modules: Iterable[Path], word: str) -> dict[Path, list[str]] | None:
    """Return by module the texts in which a word stands, those of its whole package included.

    None if there are too many files. Blocks.
    """
    encoded = word.encode()
    packages: dict[Path, list[str]] = {}
    found: dict[Path, list[str]] = {}
    number = 0
    for module in modules:
        package = _package(module)
        if package not in packages:
            packages[package] = []
            for path in [package] if package.suffix in _SUFFIXES else _below(package):
                number += 1
                if number > MAX_FILES:
                    return None
                try:
                    data = path.read_bytes()
                except OSError:
                    continue
                if encoded in data:
                    packages[package].append(data.decode("utf-8", "replace"))
        found[module] = packages[package]
    return found


def _package(path: Path) -> Path:
    """Return the whole package that an installed file is of; another file stands for itself."""
    for index, part in enumerate(path.parts):
        if part in _PACKAGES and index + 1 < len(path.parts):
            return Path(*path.parts[: index + 2])
    return path


def _below(folder: Path) -> Iterator[Path]:
    for at, _, names in os.walk(folder):
        for name in names:
            if name.endswith(_SUFFIXES):
                yield Path(at, name)
