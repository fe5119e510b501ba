"""Commands in terminals of an IDE, which here really run them."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.workspace import processes
from punie.workspace.base import CommandRequest, CommandResult, WorkspaceError
from punie.workspace.editor import EditorError, EditorRefusedError, EditorTimeoutError
from punie.workspace.ide import IdeWorkspace
from punie.workspace.local import LocalWorkspace
from punie.workspace.terminals import KEPT_BYTES
from tests.tools.conftest import Bench
from tests.workspace.editing import LocalTerminals

pytestmark = pytest.mark.anyio


@pytest.fixture
def terminals() -> LocalTerminals:
    return LocalTerminals()


@pytest.fixture
async def workspace(
    tmp_path: Path, terminals: LocalTerminals, anyio_backend: str
) -> AsyncIterator[IdeWorkspace]:
    workspace = IdeWorkspace(LocalWorkspace([tmp_path]), terminals=terminals)
    yield workspace
    await workspace.aclose()
    # Whatever happened: all that was opened is released, once, and nothing runs.
    assert terminals.calls.count("release") == len(terminals.running)
    assert all(process.wait(5) is not None for process in terminals.running.values())


async def _run(workspace: IdeWorkspace, command: str, timeout: float = 30.0) -> CommandResult:
    return await workspace.run(CommandRequest(command, workspace.roots[0], timeout))


async def test_a_command_runs_in_a_terminal(
    workspace: IdeWorkspace, terminals: LocalTerminals, tmp_path: Path
) -> None:
    shown: list[str] = []

    async def on_terminal(terminal: str) -> None:
        shown.append(terminal)

    request = CommandRequest("echo hi; echo more >&2; pwd -P; exit 3", tmp_path, 30.0)
    result = await workspace.run(request, None, on_terminal)
    assert result.exit_code == 3
    assert result.output == f"hi\nmore\n{tmp_path.resolve()}\n"
    assert shown == ["t1"]
    assert terminals.calls == ["create", "wait", "output", "release"]
    assert not processes.live_groups()


async def test_it_has_the_path_and_the_virtual_environment(
    workspace: IdeWorkspace, terminals: LocalTerminals, tmp_path: Path
) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/bin/sh")
    result = await _run(workspace, 'echo "${PATH%%:*} $VIRTUAL_ENV"')
    assert result.output == f"{tmp_path}/.venv/bin {tmp_path}/.venv\n"
    # Nothing else of the user's environment goes over the wire.
    assert set(terminals.commands[0].environment) == {"PATH", "VIRTUAL_ENV"}


async def test_a_timeout_kills_and_releases(
    workspace: IdeWorkspace, terminals: LocalTerminals
) -> None:
    with anyio.fail_after(20):
        result = await _run(workspace, "echo before; sleep 60", timeout=0.5)
    assert (result.timed_out, result.exit_code, result.output) == (True, None, "before\n")
    assert terminals.calls == ["create", "wait", "kill", "output", "release"]


@pytest.mark.parametrize("silent", [False, True])
async def test_cancelling_kills_and_releases_without_waiting_for_long(
    workspace: IdeWorkspace, terminals: LocalTerminals, tmp_path: Path, silent: bool
) -> None:
    terminals.silent = silent
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_run, workspace, "touch started; sleep 60")
            while not (tmp_path / "started").exists():
                await anyio.sleep(0.01)
            begin = time.monotonic()
            tasks.cancel_scope.cancel()
    assert time.monotonic() - begin < 2
    assert terminals.calls == ["create", "wait", "kill", "release"]
    terminals.silent = False


async def test_a_listener_that_fails_leaves_no_terminal(
    workspace: IdeWorkspace, terminals: LocalTerminals, tmp_path: Path
) -> None:
    async def on_terminal(terminal: str) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await workspace.run(CommandRequest("sleep 60", tmp_path, 30.0), None, on_terminal)
    assert terminals.calls == ["create", "kill", "release"]


async def test_long_output_is_cut_in_the_middle(
    workspace: IdeWorkspace, terminals: LocalTerminals, tmp_path: Path
) -> None:
    request = CommandRequest("seq 1 20000", tmp_path, 30.0, output_limit=2000)
    result = await workspace.run(request)
    assert result.output.startswith("1\n2\n3\n")
    assert result.output.endswith("19999\n20000\n")
    assert f"[{result.omitted_bytes} bytes omitted]" in result.output
    assert terminals.commands[0].output_bytes == KEPT_BYTES
    result = await workspace.run(replace(request, command="seq 1 300000"))
    assert result.output.startswith("[the beginning is omitted]\n")
    assert result.output.endswith("\n300000\n")


async def test_without_a_terminal_the_command_runs_locally(
    workspace: IdeWorkspace, terminals: LocalTerminals, tmp_path: Path
) -> None:
    terminals.create_error = EditorError("terminals are switched off")
    pieces: list[str] = []

    async def on_output(text: str) -> None:
        pieces.append(text)

    result = await workspace.run(CommandRequest("echo hi", tmp_path, 30.0), on_output)
    assert (result.output, pieces) == ("hi\n", ["hi\n"])
    assert terminals.calls == ["create"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (EditorRefusedError("permission denied"), "the IDE does not allow this command"),
        # It may run there yet, and must not run twice.
        (EditorTimeoutError("it did not answer in 30 s"), "the IDE opened no terminal"),
    ],
)
async def test_what_must_not_run_locally_instead(
    workspace: IdeWorkspace,
    terminals: LocalTerminals,
    tmp_path: Path,
    error: EditorError,
    sentence: str,
) -> None:
    terminals.create_error = error
    with pytest.raises(WorkspaceError, match=sentence):
        await _run(workspace, "touch ran")
    assert not (tmp_path / "ran").exists()


async def test_what_no_terminal_can_hold_is_one_sentence(workspace: IdeWorkspace) -> None:
    with pytest.raises(WorkspaceError, match="the command could not be started: "):
        await _run(workspace, "echo \ud800")


async def test_an_exit_code_that_nobody_knows(
    workspace: IdeWorkspace,
    terminals: LocalTerminals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = terminals.wait

    async def forgetful(terminal: str) -> int | None:
        await real(terminal)
        return None

    monkeypatch.setattr(terminals, "wait", forgetful)
    bench = Bench(tmp_path, ToolContext(workspace, ReadLedger()))
    text = await bench.text("run_command", command="echo hi")
    assert text == "ended, and the IDE does not know the exit code\nhi"


async def test_an_ide_that_loses_the_command(
    workspace: IdeWorkspace, terminals: LocalTerminals, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(terminal: str) -> int | None:
        raise EditorError("there is no such terminal")

    monkeypatch.setattr(terminals, "wait", lost)
    with pytest.raises(WorkspaceError, match="which may have run: there is no such terminal"):
        await _run(workspace, "echo hi")


async def test_commands_side_by_side(workspace: IdeWorkspace, terminals: LocalTerminals) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(_run, workspace, f"sleep 0.1; echo {number}")
    assert sorted(terminals.running) == ["t1", "t2", "t3", "t4"]


async def test_closing_releases_what_is_open(
    workspace: IdeWorkspace, terminals: LocalTerminals, tmp_path: Path
) -> None:
    results: list[CommandResult] = []

    async def run() -> None:
        results.append(await _run(workspace, "touch started; sleep 60"))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while not (tmp_path / "started").exists():
                await anyio.sleep(0.01)
            await workspace.aclose()
    assert len(results) == 1
