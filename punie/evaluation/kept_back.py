"""Where the answers to items lie: folders that no command of a model under test reads."""

from functools import cache
from pathlib import Path

import punie
from punie.workspace.sandbox.repository import worktree_folder


@cache
def places_of_answers() -> tuple[Path, ...]:
    """Return the folders that hold what is due.

    These are the suites with their hidden tests and, where Punie runs from a checkout, its tests
    and its history.
    """
    checkout = Path(punie.__file__).parents[1]
    found = [Path(__file__).with_name("suites"), checkout / "tests" / "evaluation"]
    git = checkout / ".git"
    found.append(worktree_folder(git) or git)
    return tuple(path for path in found if path.exists())
