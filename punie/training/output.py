"""Output folders that are there whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from punie.training.errors import TrainingError


def refuse_taken(out: Path) -> None:
    """Refuse an output folder that is there already, before any work is done for it.

    Raises:
        TrainingError: it is there.
    """
    if out.exists():
        raise TrainingError(f"{out} exists already; name another folder or remove that one.")


@contextmanager
def output_folder(out: Path, *, keep_unfinished: bool = False) -> Iterator[Path]:
    """Yield a folder to write into, which takes the name `out` at the end.

    Until then it is `.NAME.unfinished` beside it. If the work fails, it is removed, or with
    `keep_unfinished` kept, so that the same call can go on from what is in it.

    Raises:
        TrainingError: `out` exists, or there is no room or no permission to write.
    """
    refuse_taken(out)
    folder = out.with_name(f".{out.name}.unfinished")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not keep_unfinished and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=True)
        try:
            yield folder
        except BaseException:
            if not keep_unfinished:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        folder.replace(out)
    except OSError as error:
        raise TrainingError(written_in_words(error, out)) from error


def write_text(file: Path, text: str) -> None:
    """Write a file so that it is there whole or as it was before.

    Raises:
        TrainingError: there is no room or no permission to write.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise TrainingError(written_in_words(error, file)) from error


def written_in_words(error: OSError, target: Path) -> str:
    """Say in one sentence why `target` could not be written, and what to do."""
    where = error.filename or target
    if error.errno == errno.ENOSPC:
        return f"The disk is full, so {target} was not written; make room and start again."
    return f"{where} cannot be written ({error.strerror or error}); correct that and start again."


def is_disk_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is behind an error, however it was said since."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False
