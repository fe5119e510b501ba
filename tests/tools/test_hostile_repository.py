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


async def test_modules_that_are_other_files_do_not_tell_what_is_in_them(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "settings.py").write_text('KEY = "canary-1"\n\ndef f(): "canary-2"\n')
    (outside / "other.py").write_text('OTHER = "canary-3"\nPIN = 123456\n')
    bench.file("config/.env", 'DSN = "canary-4"\n')
    (bench.root / "led.py").symlink_to(outside / "settings.py")
    (bench.root / "env.py").symlink_to(bench.root / "config/.env")
    bench.file("ty.toml", f'[environment]\nextra-paths = ["{outside}"]\n')
    names = ["led.KEY", "led.f", "env.DSN", "other.OTHER", "other.PIN"]
    lines = [f"A{number} = {name}" for number, name in enumerate(names)]
    checks = [f"int.{name}(A{number})" for number, name in enumerate("abcde")]
    wrong = [f"x{number}: list[str] = A{number}" for number in range(len(names))]
    own = ['own = "own-value"', "y: int = own", *checks, *wrong]
    bench.file("a.py", "\n".join(["import env", "import led", "import other", *lines, *own, ""]))
    told = [await bench.text("check_types"), await bench.text("check_types", path="a.py")]
    assert all('Literal["own-value"]' in text and 'Literal["***"]' in text for text in told)
    for number, name in enumerate(names, start=4):
        for symbol in (name.partition(".")[2], f"A{number - 4}"):
            for tool in ("hover", "definition", "references"):
                told.append(await bench.text(tool, symbol=symbol, path=f"a.py:{number}"))
    told.append(await bench.text("symbols", symbol="KEY"))
    edit = {"old_text": "y: int", "new_text": "z: int = led.KEY\ny: int"}
    told.append(await bench.text("edit_file", path="a.py", edits=[edit]))
    assert "new problems" in told[-1]
    assert "***" in told[-1]
    assert "led.py:1:(outside of the project, not shown)" in "\n".join(told)
    for text in told:
        assert "canary" not in text
        assert "123456" not in text


async def test_libraries_and_the_projects_own_values_are_told(bench: Bench) -> None:
    bench.file("b.py", 'MODE = "fast"\n')
    bench.file("a.py", "import json\n\nimport b\n\nx: int = b.MODE\njson.dumps\n")
    assert 'Literal["fast"]' in await bench.text("check_types")
    assert await bench.text("hover", symbol="MODE", path="a.py:5") == 'Literal["fast"]'
    assert "def dumps(" in await bench.text("definition", symbol="dumps", path="a.py:6")
