from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from punie.agent.permissions.store import Permissions
from punie.workspace.local import LocalWorkspace
from tests.agent.scene import Scene
from tests.agent.stage import scripted


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    workspace = LocalWorkspace([project])
    yield Scene(
        scripted(lambda done, messages: ["nothing"]),
        mode="ask",
        workspace=workspace,
        permissions=Permissions(tmp_path / "config", project),
    )
    await workspace.aclose()
