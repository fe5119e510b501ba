"""A project in a git repository, driven by plain git commands."""

import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.workspace.local import LocalWorkspace
from tests.tools.conftest import Bench

ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (
            ("NAME", "Ada"),
            ("EMAIL", "ada@example.org"),
            ("DATE", "2026-01-02T23:30:00-0500"),
        )
    },
}


def git(folder: Path, *arguments: str, fails: bool = False) -> bytes:
    """Run git as a person would and return what it printed."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode == 0) != fails, done.stderr.decode()
    return done.stdout


def commit_all(folder: Path, message: str = "Change") -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD").decode().strip()


@dataclass
class Repo(Bench):
    """A project that is a repository."""

    def git(self, *arguments: str, fails: bool = False) -> bytes:
        return git(self.root, *arguments, fails=fails)

    def commit(self, message: str = "Change") -> str:
        return commit_all(self.root, message)

    async def ask(self, command: str, path: str | None = None, ref: str | None = None) -> str:
        return await self.text("git", command=command, path=path, ref=ref)


def repo_at(root: Path) -> Repo:
    return Repo(root, ToolContext(LocalWorkspace([root]), ReadLedger()))


@pytest.fixture
async def repo(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Repo]:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    repo = repo_at(root)
    yield repo
    await repo.context.workspace.aclose()
