"""What becomes of the checkpoints of sessions that are copied, deleted or old."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from punie.workspace.checkpoints.journal import JOURNAL

KEPT_DAYS = 30
"""Checkpoints of sessions in which nothing was changed for longer are removed."""

KEPT_BYTES = 2 * 1024**3
"""More is not kept of all sessions together; the oldest go first."""


def copy_checkpoints(folder: Path, to: Path) -> None:
    """Give a copied session the checkpoints of the one that it was copied from; raise `OSError`.

    Contents never change, so that both may have the same files.
    """
    if not folder.is_dir():
        return
    shutil.copytree(folder, to, copy_function=_share, dirs_exist_ok=True)


def _share(source: str, to: str) -> None:
    if Path(source).parent.parent.name == "contents":
        with suppress(OSError):
            os.link(source, to)
            return
    shutil.copyfile(source, to)
    Path(to).chmod(0o600)


def forget_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a session that was deleted."""
    shutil.rmtree(folder, ignore_errors=True)


def prune_checkpoints(
    parent: Path, *, but: str, days: float = KEPT_DAYS, most_bytes: int = KEPT_BYTES
) -> list[str]:
    """Remove the checkpoints of sessions that are old or too much; return the sessions' ids.

    Those of the session `but` stay, and so does a folder that is not of a session.
    """
    try:
        folders = [entry for entry in parent.iterdir() if entry.name != but]
    except OSError:
        return []
    found = [(_last_use(folder), folder) for folder in folders]
    ages = sorted(((used, folder) for used, folder in found if used is not None), reverse=True)
    oldest = time.time() - days * 86_400
    total = 0
    removed = []
    for used, folder in ages:
        total += _size(folder)
        if used < oldest or total > most_bytes:
            forget_checkpoints(folder)
            removed.append(folder.name)
    return removed


def _last_use(folder: Path) -> float | None:
    """Return when something was last written down, None for what are no checkpoints."""
    try:
        return (folder / JOURNAL).stat().st_mtime
    except OSError:
        return None


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total
