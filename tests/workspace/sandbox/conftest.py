"""What the tests of real sandboxes share."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from punie.workspace import processes
from punie.workspace.base import CommandRequest, CommandResult
from punie.workspace.local import LocalWorkspace
from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from punie.workspace.sandbox.view import SandboxOptions

CONFINED = SandboxOptions()


class Confined:
    """A workspace with a real sandbox, in `root`, of a user whose home folder is `home`."""

    def __init__(self, root: Path, home: Path, options: SandboxOptions) -> None:
        self.root = root
        self.home = home
        self.workspace = LocalWorkspace([root], options)

    async def run(
        self, command: str, *, timeout: float = 30.0, unsandboxed: bool = False
    ) -> CommandResult:
        request = CommandRequest(command, self.root, timeout, unsandboxed=unsandboxed)
        return await self.workspace.run(request)


Confine = Callable[..., Confined]


@pytest.fixture
async def confine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> AsyncIterator[Confine]:
    found = find_sandbox()
    if isinstance(found, NoSandbox):
        pytest.skip(f"no sandbox works here: {found.reason}")
    root, home = tmp_path / "project", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CACHE_HOME", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    made: list[Confined] = []

    def make(options: SandboxOptions = CONFINED, at: Path = root) -> Confined:
        made.append(Confined(at, home, options))
        return made[-1]

    yield make
    for each in made:
        await each.workspace.aclose()
    assert not processes.live_groups()
