"""Programs that are run for what they print."""

import sys
from pathlib import Path

import anyio
import pytest

from punie.workspace.base import ProgramRequest, WorkspaceError
from punie.workspace.local import LocalWorkspace
from punie.workspace.processes import live_groups

pytestmark = pytest.mark.anyio


def python(code: str, cwd: Path, *, stdin: bytes = b"", **more: float) -> ProgramRequest:
    limit = int(more.get("output_limit", 1_000_000))
    return ProgramRequest(
        (sys.executable, "-c", code), cwd, more.get("timeout", 30.0), stdin, output_limit=limit
    )


async def test_streams_and_code_come_apart(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    code = "import sys; print(sys.stdin.read()); print('oh', file=sys.stderr); sys.exit(3)"
    result = await workspace.run_program(python(code, tmp_path, stdin="größe".encode()))
    assert (result.exit_code, result.stdout, result.stderr) == (3, "größe\n", "oh\n")


async def test_bytes_that_are_not_text_survive(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    code = r"import sys; sys.stdout.buffer.write(b'a\xffb')"
    result = await workspace.run_program(python(code, tmp_path))
    assert result.stdout.encode("utf-8", "surrogateescape") == b"a\xffb"


async def test_what_hangs_is_ended(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    code = "import time; print('here', flush=True); time.sleep(60)"
    result = await workspace.run_program(python(code, tmp_path, timeout=0.5))
    assert (result.exit_code, result.stdout, result.timed_out) == (None, "here\n", True)


async def test_what_floods_is_ended(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    code = "while True: print('x' * 1000)"
    result = await workspace.run_program(python(code, tmp_path, output_limit=10_000))
    assert (result.exit_code, result.timed_out, result.flooded) == (None, False, True)
    assert len(result.stdout) == 10_000


async def test_children_that_stay_behind_are_ended(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    before = live_groups()
    code = "import subprocess; subprocess.Popen(['sleep', '60']); print('done')"
    result = await workspace.run_program(python(code, tmp_path))
    assert result.stdout == "done\n"
    assert live_groups() == before


async def test_cancelling_ends_it(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    before = live_groups()
    with anyio.move_on_after(0.3) as scope:
        await workspace.run_program(python("import time; time.sleep(60)", tmp_path))
    assert scope.cancelled_caught
    assert live_groups() == before


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    with pytest.raises(WorkspaceError, match="could not be started"):
        await workspace.run_program(ProgramRequest(("/nowhere/at/all",), tmp_path, 5.0))


async def test_the_projects_own_program_is_found_first(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    beside = await workspace.find_program("ruff")
    assert beside is not None
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "ruff"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    assert await workspace.find_program("ruff") == folder / "ruff"
    assert await workspace.find_program("ruff", "project") == folder / "ruff"
    assert await workspace.find_program("ruff", "trusted") == beside
    assert await workspace.find_program("git") is not None
    assert await workspace.find_program("no-such-program") is None


async def test_nothing_in_a_root_is_trusted_and_nothing_beside_punie_is_the_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = tmp_path / "project" / "bin", tmp_path / "tools"
    linked = tmp_path / "linked"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        (folder / "some-tool").write_text("#!/bin/sh\n")
        (folder / "some-tool").chmod(0o755)
    linked.symlink_to(inside)
    monkeypatch.setenv("PATH", f"{inside}:{linked}:{outside}:/usr/bin")
    workspace = LocalWorkspace([tmp_path / "other", tmp_path / "project"])
    assert await workspace.find_program("some-tool") == inside / "some-tool"
    assert await workspace.find_program("some-tool", "trusted") == outside / "some-tool"
    beside = await workspace.find_program("ty", "trusted")
    assert beside is not None
    assert await workspace.find_program("ty", "project") != beside
