"""Models that were made on this machine, by the name of the pipeline that made them.

A name is a link in the user's data folder to a model's folder. Only what passed its gates gets one.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from platformdirs import user_data_path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


def data_folder() -> Path:
    """Return the folder of what Punie makes: outputs of pipelines and names of models."""
    return user_data_path("punie", appauthor=False)


def made_model(name: str) -> Path | None:
    """Return the folder of a model that was made here; None if none has this name."""
    if not _NAME.match(name):
        return None
    folder = _link(name)
    return folder.resolve() if folder.is_symlink() and folder.is_dir() else None


def made_models() -> Iterator[tuple[str, Path]]:
    """Yield the name and folder of each model that was made here, in order."""
    for link in sorted(_names().glob("*")):
        folder = made_model(link.name)
        if folder is not None:
            yield link.name, folder


def name_model(name: str, folder: Path) -> Path:
    """Give a model its name, which may have been another's before; return the link.

    Raises `OSError` if it cannot be written.
    """
    link = _link(name)
    link.parent.mkdir(parents=True, exist_ok=True)
    unfinished = link.with_name(f".{name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    unfinished.symlink_to(folder.resolve(), target_is_directory=True)
    unfinished.replace(link)
    return link


def forget_model(name: str) -> None:
    """Take a name away; the model's files stay."""
    with suppress(FileNotFoundError):
        _link(name).unlink()


def _names() -> Path:
    return data_folder() / "models"


def _link(name: str) -> Path:
    return _names() / name
