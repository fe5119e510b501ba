"""The projects that items work in: texts in TOML files beside the suites, never changed.

They are no Python files of the package, since they hold mistakes on purpose and tests of their own.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent

Files = Mapping[str, str]
"""Texts by path, relative to the project's root."""


@cache
def frozen(name: str) -> Mapping[str, Any]:
    """Return what a TOML file beside the suites holds; `name` is without the ending."""
    with (_FOLDER / f"{name}.toml").open("rb") as file:
        return tomllib.load(file)


def frozen_names(folder: str) -> list[str]:
    """Return the names of all TOML files of a folder beside the suites, as `frozen` takes them."""
    return sorted(f"{folder}/{file.stem}" for file in (_FOLDER / folder).glob("*.toml"))


def write_files(root: Path, files: Files) -> None:
    """Write texts below a root, with the folders that they need."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
