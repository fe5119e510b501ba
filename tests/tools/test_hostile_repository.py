"""A repository that somebody else has made, looked at with the tools that ask nobody."""

import os
from pathlib import Path

import anyio
import pytest

from punie.workspace import memory, ripgrep
from punie.workspace.program_lookup import locate_program
from tests.test_plain_files import trap
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_BYTES", 300 << 20)
    monkeypatch.setattr(memory, "_FIRST_SECONDS", 0.05)
    monkeypatch.setattr(memory, "_SECONDS", 0.02)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("name", "tool", "arguments"),
    [
        (".ignore", "search", {"pattern": "x"}),
        ("b.py", "lint", {}),
        ("pyproject.toml", "symbols", {"path": "a.py"}),
    ],
)
async def test_nothing_without_an_end_fills_the_memory(
    bench: Bench, name: str, tool: str, arguments: dict[str, str]
) -> None:
    bench.file("a.py", "x = 1\n")
    trap(bench.root / name, "zero")
    text = await bench.text(tool, **arguments)
    assert text.startswith("error: ")
    assert "filled the memory" in text or "language server ended" in text


async def test_a_search_does_not_wait_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ripgrep, "SECONDS", 0.3)
    trap(bench.root / ".ignore", "pipe")
    with anyio.fail_after(20):
        for tool in ("search", "find_files"):
            text = await bench.text(tool, pattern="x")
            assert text == "error: searching took longer than 0.3 seconds; name a smaller path"
        assert ".ignore" in await bench.text("list_dir", path=".")


def test_no_program_that_leads_into_the_project_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, tools, good = tmp_path / "project", tmp_path / "tools", tmp_path / "good"
    for folder in (project / "bin", good, tools):
        folder.mkdir(parents=True)
    for folder in (project, project / "bin", good):
        (folder / "some-tool").write_text("#!/bin/sh\n")
        (folder / "some-tool").chmod(0o755)
    (tools / "some-tool").symlink_to(project / "bin/some-tool")
    monkeypatch.chdir(project)
    for first in ("", ".", "bin", "../project/bin", str(tools), str(project / "bin")):
        environment = {"PATH": os.pathsep.join([first, str(good)])}
        found = locate_program("some-tool", [project], environment, "trusted")
        assert found == good / "some-tool", first
    # A program may well be a link to somewhere else.
    (tools / "some-tool").unlink()
    (tools / "some-tool").symlink_to(good / "some-tool")
    environment = {"PATH": str(tools)}
    assert locate_program("some-tool", [project], environment, "trusted") == tools / "some-tool"


async def test_ripgrep_is_not_the_project_s(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    real = ripgrep.find_ripgrep()
    ran = bench.root / "ran"
    bench.file(".venv/bin/rg", f"#!/bin/sh\ntouch {ran}\n").chmod(0o755)
    folder = tmp_path_factory.mktemp("usual")
    (folder / "rg").symlink_to(real)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(folder / "nowhere"))
    path = [str(bench.root / ".venv/bin"), ".venv/bin", "", str(folder), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
    monkeypatch.chdir(bench.root)
    bench.file("a.txt", "needle\n")
    assert "a.txt" in await bench.text("search", pattern="needle")
    assert not ran.exists()
