"""Commands in generated conversations and in evaluations are the same wherever they are made."""

import os
import sys
from pathlib import Path

import pytest

from punie.training.generator.shards import command_environment
from punie.workspace.base import CommandRequest
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio

PREFIX = "import sys, pytest; print(sys.prefix)"


async def said(project: Path, code: str) -> str:
    workspace = LocalWorkspace([project])
    try:
        command = f"python3 -c '{code}'"
        return (await workspace.run(CommandRequest(command, project, 60))).output.strip()
    finally:
        await workspace.aclose()


async def test_python_is_the_one_that_punie_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is in a virtual environment, which is otherwise kept from commands."""
    other = tmp_path / "bin"
    other.mkdir()
    (other / "python3").write_text("#!/bin/sh\necho another one\n")
    (other / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{other}{os.pathsep}{os.environ['PATH']}")
    project = tmp_path / "project"
    project.mkdir()
    with command_environment():
        assert await said(project, PREFIX) == sys.prefix
    assert await said(project, PREFIX) == "another one"


async def test_sets_have_an_order(tmp_path: Path) -> None:
    """What pytest tells of unequal dictionaries follows from it."""
    with command_environment():
        told = {await said(tmp_path, "print(set(map(str, range(50))))") for _ in range(2)}
    assert len(told) == 1
