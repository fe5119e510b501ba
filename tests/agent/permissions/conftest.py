from pathlib import Path

import pytest

from punie.agent.permissions.judging import Place
from punie.workspace.local import LocalWorkspace


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A project with a folder `src` and a file in it."""
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "src" / "a.py").write_text("a = 1\n")
    return Place(LocalWorkspace([root]), (tmp_path / "config",))
