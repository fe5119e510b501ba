import re
import select
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from punie.workspace import background, processes
from punie.workspace.base import BackgroundOutput, CommandRequest, WorkspaceError
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio


@pytest.fixture
async def workspace(
    tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LocalWorkspace]:
    # The shell has written its first words by then, and the tests do not wait longer.
    monkeypatch.setattr(background, "SETTLE_SECONDS", 0.4)
    workspace = LocalWorkspace([tmp_path])
    yield workspace
    await workspace.aclose()
    assert not processes.live_groups()
    assert not [each for each in threading.enumerate() if each.name == "background output"]


async def _start(workspace: LocalWorkspace, command: str, limit: int = 10_000) -> BackgroundOutput:
    return await workspace.start(
        CommandRequest(command, workspace.roots[0], 1.0, output_limit=limit)
    )


async def _until(workspace: LocalWorkspace, name: str, wanted: str) -> str:
    """Look until something has been written; return all that came."""
    seen = ""
    with anyio.fail_after(20):
        while wanted not in seen:
            seen += (await workspace.background_output(name)).output
            await anyio.sleep(0.02)
    return seen


async def test_a_server_runs_on_and_is_looked_at_and_stopped(workspace: LocalWorkspace) -> None:
    """It outlives the second of its start and the timeout that commands have."""
    command = "echo ready; while ! [ -e go ]; do sleep 0.02; done; echo went; sleep 600"
    started = await _start(workspace, command)
    assert started == BackgroundOutput("bg1", command, "ready\n", None)
    assert (await workspace.background_output("bg1")).output == ""
    (workspace.roots[0] / "go").touch()
    assert await _until(workspace, "bg1", "went") == "went\n"
    stopped = await workspace.background_output("bg1", stop=True)
    assert stopped == BackgroundOutput("bg1", command, "", 143)
    assert not processes.live_groups()
    # It can still be asked for.
    assert (await workspace.background_output("bg1")).exit_code == 143


async def test_one_that_dies_at_once_is_seen_to(workspace: LocalWorkspace) -> None:
    with anyio.fail_after(20):
        started = await _start(workspace, "echo no such port >&2; exit 3")
    assert (started.output, started.exit_code) == ("no such port\n", 3)


async def test_all_that_it_started_ends_with_it(workspace: LocalWorkspace) -> None:
    started = await _start(workspace, "trap '' TERM; sleep 600 & sleep 600 & wait")
    assert started.exit_code is None
    stopped = await workspace.background_output(started.id, stop=True)
    assert stopped.exit_code == 137
    assert not processes.live_groups()


async def test_one_that_leaves_children_behind_says_so(workspace: LocalWorkspace) -> None:
    started = await _start(workspace, "sleep 600 & echo forked")
    assert (started.output, started.exit_code, started.children) == ("forked\n", 0, True)
    stopped = await workspace.background_output(started.id, stop=True)
    assert (stopped.exit_code, stopped.children) == (0, False)


async def test_a_flood_is_capped_in_memory(workspace: LocalWorkspace) -> None:
    started = await _start(workspace, "yes flood", limit=2_000)
    assert len(started.output) < 2_100
    assert re.search(r"\[\d+ bytes omitted\]", started.output)
    await workspace.background_output(started.id, stop=True)


async def test_an_unknown_id_names_those_there_are(workspace: LocalWorkspace) -> None:
    with pytest.raises(WorkspaceError, match="no background command 'x'; none was started"):
        await workspace.background_output("x")
    await _start(workspace, "true")
    await _start(workspace, "false")
    with pytest.raises(WorkspaceError) as caught:
        await workspace.background_output("x")
    assert str(caught.value) == (
        "there is no background command 'x'; there are bg1 (true), bg2 (false)"
    )


async def test_there_are_not_too_many(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "MAX_RUNNING", 1)
    monkeypatch.setattr(background, "SETTLE_SECONDS", 0.05)
    await _start(workspace, "sleep 600")
    with pytest.raises(WorkspaceError, match="1 background commands run already; stop one of bg1"):
        await _start(workspace, "sleep 600")


async def test_cancelling_the_start_ends_it(workspace: LocalWorkspace) -> None:
    with anyio.move_on_after(0.3) as scope:
        await _start(workspace, "sleep 600")
    assert scope.cancelled_caught
    assert not processes.live_groups()


async def test_closing_ends_all_even_where_a_stranger_holds_the_output(
    workspace: LocalWorkspace,
) -> None:
    """A daemon that left its group keeps the pipe open; nobody waits for it."""
    started = await _start(workspace, "setsid sleep 3 & sleep 600")
    assert started.exit_code is None
    with anyio.fail_after(2.5):
        await workspace.aclose()
    assert not processes.live_groups()


async def test_what_a_command_wrote_comes_with_its_end_though_the_reader_is_slow(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowToNotice:
        """`select` as a thread has it that gets to run late; a look has a timeout."""

        @staticmethod
        def select(*given: Any) -> Any:
            ready = select.select(*given)
            if len(given) == 3:
                time.sleep(0.1)
            return ready

    monkeypatch.setattr(background, "select", SlowToNotice)
    for command in ("echo up", "sleep 600 & echo up"):
        started = await _start(workspace, command)
        assert (started.exit_code, started.output) == (0, "up\n")
