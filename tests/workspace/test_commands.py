import os
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.workspace import processes
from punie.workspace.base import CommandRequest, CommandResult, WorkspaceError
from punie.workspace.commands import CappedOutput
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio


@pytest.fixture
async def workspace(tmp_path: Path, anyio_backend: str) -> AsyncIterator[LocalWorkspace]:
    workspace = LocalWorkspace([tmp_path])
    yield workspace
    await workspace.aclose()
    assert not processes.live_groups()


async def _run(
    workspace: LocalWorkspace, command: str, *, timeout: float = 30.0, limit: int = 64_000
) -> CommandResult:
    request = CommandRequest(command, workspace.roots[0], timeout, output_limit=limit)
    return await workspace.run(request)


def _alive(process: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent does not."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return bool(shown.stdout.strip()) and not shown.stdout.strip().startswith("Z")


async def _ends(process: int) -> bool:
    with anyio.move_on_after(5):
        while _alive(process):
            await anyio.sleep(0.02)
        return True
    return False


async def _number_in(path: Path) -> int:
    with anyio.fail_after(10):
        while not (path.exists() and path.read_text().strip()):
            await anyio.sleep(0.02)
    return int(path.read_text())


async def test_output_and_exit_code(workspace: LocalWorkspace, tmp_path: Path) -> None:
    result = await _run(workspace, "echo out; echo err >&2; echo more; pwd -P; exit 3")
    assert result.exit_code == 3
    assert result.output == f"out\nerr\nmore\n{tmp_path.resolve()}\n"
    assert not result.timed_out
    assert result.omitted_bytes == 0
    assert result.seconds > 0


async def test_nothing_is_on_standard_input(workspace: LocalWorkspace) -> None:
    assert (await _run(workspace, "cat; echo end")).output == "end\n"


async def test_the_environment_is_inherited(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_OLD", "old")
    assert (await _run(workspace, "echo $TEST_OLD")).output == "old\n"


async def test_a_signal_is_reported_as_a_shell_reports_it(workspace: LocalWorkspace) -> None:
    assert (await _run(workspace, "kill -9 $$")).exit_code == 137


async def test_output_streams_while_the_command_runs(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    pieces: list[str] = []
    gate = tmp_path / "gate"

    async def on_output(text: str) -> None:
        pieces.append(text)
        # The command goes on only once its first words were seen.
        gate.touch()

    command = "echo first; while ! [ -e gate ]; do sleep 0.02; done; printf '\\303'; printf '\\274'"
    result = await workspace.run(CommandRequest(command, tmp_path, 30.0), on_output)
    assert pieces[0] == "first\n"
    assert "".join(pieces) == result.output == "first\nü"


async def test_a_failing_listener_ends_the_command(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    async def on_output(text: str) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"), anyio.fail_after(10):
        await workspace.run(CommandRequest("echo $$; sleep 60", tmp_path, 60.0), on_output)
    assert not processes.live_groups()


async def test_long_output_is_cut_in_the_middle(workspace: LocalWorkspace) -> None:
    result = await _run(workspace, "seq 1 200000", limit=2000)
    assert result.output.startswith("1\n2\n3\n")
    assert result.output.endswith("199999\n200000\n")
    assert f"[{result.omitted_bytes} bytes omitted]" in result.output
    assert len(result.output) < 2100


async def test_bytes_that_are_not_utf8(workspace: LocalWorkspace) -> None:
    assert (await _run(workspace, "printf 'a\\377b'")).output == "a\ufffdb"


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
async def test_a_timeout_ends_the_whole_group(
    workspace: LocalWorkspace, tmp_path: Path, trap: str
) -> None:
    command = f"{trap}sleep 60 & echo $! >child; echo before; wait; sleep 60"
    with anyio.fail_after(15):
        result = await _run(workspace, command, timeout=0.5)
    assert result.timed_out
    assert result.exit_code is None
    assert result.output == "before\n"
    assert await _ends(await _number_in(tmp_path / "child"))
    assert not processes.live_groups()


async def test_a_timeout_holds_when_output_was_closed(workspace: LocalWorkspace) -> None:
    with anyio.fail_after(15):
        result = await _run(workspace, "exec >&- 2>&-; sleep 60", timeout=0.3)
    assert result.timed_out


async def test_a_timeout_holds_against_endless_output(workspace: LocalWorkspace) -> None:
    with anyio.fail_after(15):
        result = await _run(workspace, "yes", timeout=0.3, limit=1000)
    assert result.timed_out
    assert result.omitted_bytes > 0


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
async def test_cancelling_ends_the_whole_group(
    workspace: LocalWorkspace, tmp_path: Path, trap: str
) -> None:
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_run, workspace, f"{trap}sleep 60 & echo $! >child; wait; sleep 60")
            child = await _number_in(tmp_path / "child")
            tasks.cancel_scope.cancel()
    assert await _ends(child)
    assert not processes.live_groups()


async def test_a_background_child_does_not_hold_the_result(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    with anyio.fail_after(15):
        result = await _run(workspace, "sleep 60 & echo $! >child; echo started")
    assert result.exit_code == 0
    assert result.output == "started\n"
    child = await _number_in(tmp_path / "child")
    # A server that was started on purpose goes on until the workspace closes.
    assert _alive(child)
    await workspace.aclose()
    assert await _ends(child)


async def test_a_background_child_that_ended_is_forgotten(workspace: LocalWorkspace) -> None:
    await _run(workspace, "sleep 0.8 >/dev/null 2>&1 & true")
    assert len(processes.live_groups()) == 1
    with anyio.fail_after(10):
        while processes.live_groups():
            await anyio.sleep(0.05)


async def test_closing_ends_a_command_that_is_running(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    results: list[CommandResult] = []

    async def run() -> None:
        results.append(await _run(workspace, "echo $$ >shell; sleep 60; true"))

    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await _number_in(tmp_path / "shell")
            await workspace.aclose()
    assert results[0].exit_code == 128 + signal.SIGTERM


async def test_commands_run_side_by_side(workspace: LocalWorkspace) -> None:
    outputs: dict[int, str] = {}

    async def run(number: int) -> None:
        outputs[number] = (await _run(workspace, f"sleep 0.2; echo {number}")).output

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(run, number)
    assert outputs == {number: f"{number}\n" for number in range(5)}


async def test_no_descriptor_is_left_open(workspace: LocalWorkspace) -> None:
    await _run(workspace, "true")
    before = set(Path("/dev/fd").iterdir())
    for command in ["true", "sleep 60 & true", "exit 1"]:
        await _run(workspace, command)
    await _run(workspace, "sleep 60", timeout=0.1)
    assert set(Path("/dev/fd").iterdir()) == before


@pytest.mark.parametrize("command", ["echo a\0b", "echo \ud800", "echo " + "x" * 5_000_000])
async def test_what_cannot_start_is_one_sentence(workspace: LocalWorkspace, command: str) -> None:
    with pytest.raises(WorkspaceError, match="the command could not be started: "):
        await _run(workspace, command)
    assert not processes.live_groups()


async def test_a_missing_folder_is_one_sentence(workspace: LocalWorkspace, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="there is no folder"):
        await workspace.run(CommandRequest("true", tmp_path / "gone", 30.0))


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_a_program_that_ends_takes_its_groups_along(tmp_path: Path, trap: str) -> None:
    """The way out through a signal handler, in a process of its own, with its loop blocked."""
    program = textwrap.dedent(
        """
        import signal, sys
        from pathlib import Path
        import anyio
        from punie.workspace.base import CommandRequest
        from punie.workspace.local import LocalWorkspace
        from punie.workspace.processes import end_all_process_groups

        def leave(*_):
            end_all_process_groups()
            sys.exit(7)

        async def main():
            signal.signal(signal.SIGTERM, leave)
            root = Path(sys.argv[1])
            await LocalWorkspace([root]).run(CommandRequest(sys.argv[2], root, 60.0))

        anyio.run(main)
        """
    )
    command = f"{trap}sleep 60 & echo $! >child; echo $$ >shell; wait; sleep 60"
    running = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), command])

    async def numbers() -> list[int]:
        return [await _number_in(tmp_path / name) for name in ("child", "shell")]

    children = anyio.run(numbers)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=10) == 7
    for child in children:
        assert anyio.run(_ends, child)


async def test_a_reused_number_is_never_signalled() -> None:
    # As if our group had ended and the system had given its number to a new process.
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        stranger.returncode = 0
        group = processes.ProcessGroup(stranger)
        assert not processes.is_alive(group)
        assert not processes.signal_group(group, signal.SIGTERM)
        await processes.end_group(group, 0.1)
        assert _alive(stranger.pid)
    finally:
        stranger.returncode = None
        stranger.kill()
        stranger.wait()


@settings(deadline=None)
@given(
    chunks=st.lists(st.text(st.sampled_from("aü𝄞\n"), max_size=12).map(str.encode)),
    limit=st.integers(1, 60),
)
def test_capped_output_keeps_both_ends(chunks: list[bytes], limit: int) -> None:
    output = CappedOutput(limit)
    for chunk in chunks:
        output.feed(chunk)
    whole = b"".join(chunks)
    assert output.omitted == max(len(whole) - limit, 0)
    if not output.omitted:
        assert output.text() == whole.decode()
        return
    head, _, tail = output.text().partition(f"\n[{output.omitted} bytes omitted]\n")
    assert whole.decode().startswith(head)
    assert whole.decode().endswith(tail)
    # At most one character is lost at either side of the gap.
    assert len((head + tail).encode()) >= limit - 6


async def test_arguments_reach_the_shell_unchanged(workspace: LocalWorkspace) -> None:
    text = "a  b'c\"d$HOME`x`\\n\n\t*"
    result = await _run(workspace, f"printf %s {shlex.quote(text)}")
    assert result.output == text


def test_a_signal_while_commands_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """Programs that do nothing but start commands are told to end at many different moments."""
    program = textwrap.dedent(
        """
        import os, signal, sys, time
        from pathlib import Path
        import anyio
        from punie.workspace.base import CommandRequest
        from punie.workspace.local import LocalWorkspace
        from punie.workspace.processes import end_all_process_groups

        root, seconds = Path(sys.argv[1]), sys.argv[2]

        def leave(*_):
            end_all_process_groups()
            os._exit(0)

        async def main():
            workspace = LocalWorkspace([root])
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    request = CommandRequest(f"sleep {seconds}", root, 60.0)
                    tasks.start_soon(workspace.run, request)
                    await anyio.sleep(0)

        for round in range(30):
            ready, started = os.pipe()
            program = os.fork()
            if program == 0:
                signal.signal(signal.SIGTERM, leave)
                os.write(started, b"x")
                anyio.run(main)
            os.read(ready, 1)
            time.sleep(0.01 + round * 0.0031)
            os.kill(program, signal.SIGTERM)
            os.waitpid(program, 0)
        """
    )
    seconds = f"61.{os.getpid()}"
    subprocess.run([sys.executable, "-c", program, str(tmp_path), seconds], check=True, timeout=120)

    def left() -> list[str]:
        shown = subprocess.run(
            ["ps", "-A", "-o", "stat=,args="], capture_output=True, text=True, check=True
        )
        lines = [line for line in shown.stdout.splitlines() if seconds in line]
        return [line for line in lines if not line.startswith("Z")]

    async def wait() -> list[str]:
        with anyio.move_on_after(3):
            while left():
                await anyio.sleep(0.1)
        return left()

    assert anyio.run(wait) == []
