"""Turns with the real tools on a real folder."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from json import dumps
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_ai.messages import ModelMessage

from punie.agent.cancel import CancelSignal
from punie.agent.events import Mode, ToolFinished, ToolProgress, TurnEnded
from punie.agent.turn_config import TurnConfig
from punie.tools.catalog import ALL_TOOLS
from punie.tools.presentation import DiffContent
from punie.workspace.base import CommandRequest
from punie.workspace.local import LocalWorkspace
from tests.agent.stage import Piece, Recording, Stage, call, scripted

pytestmark = pytest.mark.anyio


@dataclass
class RealStage(Stage):
    workspace: LocalWorkspace = field(kw_only=True)

    def config(self) -> TurnConfig:
        return replace(super().config(), tools=ALL_TOOLS, workspace=self.workspace)


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[LocalWorkspace]:
    (tmp_path / "greet.py").write_text('def greet():\n    return "hello"\n')
    workspace = LocalWorkspace([tmp_path])
    yield workspace
    await workspace.aclose()


def use(tool: str, **arguments: Any) -> list[Piece]:
    return [call(tool, dumps(arguments))]


def playing(*answers: Sequence[Piece], recording: Recording | None = None) -> Any:
    def script(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece]:
        return answers[done]

    return scripted(script, recording)


async def test_search_read_edit_and_run(workspace: LocalWorkspace, tmp_path: Path) -> None:
    stage = RealStage(
        playing(
            use("search", pattern="hello"),
            use("read_file", path="greet.py"),
            use(
                "edit_file",
                path="greet.py",
                edits=[{"old_text": '"hello"', "new_text": '"good day"'}],
            ),
            use("run_command", command="python3 -c 'import greet; print(greet.greet())'"),
            ["It greets politely now."],
        ),
        mode="ask",
        workspace=workspace,
    )
    events = await stage.turn("make it polite")
    results = [event for event in events if isinstance(event, ToolFinished)]
    assert [event.status for event in results] == ["completed"] * 4
    assert results[0].result.startswith("greet.py:2:")
    assert '2:    return "hello"' in results[1].result
    assert results[2].result == "edited greet.py: 1 replacement"
    assert results[3].result == "exit code 0\ngood day"
    assert [asked.presentation.kind for asked in stage.asked] == ["edit", "execute"]
    (diff,) = stage.asked[0].presentation.content
    assert isinstance(diff, DiffContent)
    assert '"good day"' in (diff.new_text or "")
    assert 'return "good day"' in (tmp_path / "greet.py").read_text()


async def test_denied_edit_leaves_the_file_alone(workspace: LocalWorkspace, tmp_path: Path) -> None:
    before = (tmp_path / "greet.py").read_bytes()
    stage = RealStage(
        playing(
            use("write_file", path="greet.py", content=""),
            use("run_command", command="rm greet.py"),
            ["Fine."],
        ),
        mode="ask",
        answer="reject_once",
        workspace=workspace,
    )
    events = await stage.turn("wipe it")
    assert (tmp_path / "greet.py").read_bytes() == before
    assert [event.result for event in events if isinstance(event, ToolFinished)] == [
        "error: the user did not allow this call"
    ] * 2


async def test_impossible_edit_is_not_asked_about(workspace: LocalWorkspace) -> None:
    stage = RealStage(
        playing(
            use("edit_file", path="greet.py", edits=[{"old_text": "absent", "new_text": "x"}]),
            use("write_file", path="../outside.txt", content="x"),
            ["Oh."],
        ),
        mode="ask",
        workspace=workspace,
    )
    events = await stage.turn("edit")
    results = [event.result for event in events if isinstance(event, ToolFinished)]
    assert stage.asked == []
    assert len(results) == 2
    assert all(result.startswith("error: ") for result in results)


async def test_diff_asked_about_shows_what_earlier_calls_left(workspace: LocalWorkspace) -> None:
    edits = [
        {
            "path": "greet.py",
            "edits": [{"old_text": '"hello"', "new_text": '"hi"'}],
        },
        {
            "path": "greet.py",
            "edits": [{"old_text": '"hi"', "new_text": '"hey"'}],
        },
    ]
    stage = RealStage(
        playing(
            [call("edit_file", dumps(edit), None, index) for index, edit in enumerate(edits)],
            ["Done."],
        ),
        mode="ask",
        workspace=workspace,
    )
    events = await stage.turn("twice")
    assert [e.status for e in events if isinstance(e, ToolFinished)] == ["completed"] * 2
    (second,) = stage.asked[1].presentation.content
    assert isinstance(second, DiffContent)
    assert '"hi"' in (second.old_text or "")


async def test_cancel_ends_the_whole_process_group(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    cancel = CancelSignal()
    stage = RealStage(
        playing(use("run_command", command="sleep 300 & echo $! > pid; echo started; wait")),
        workspace=workspace,
        on_event=lambda event: cancel.cancel() if isinstance(event, ToolProgress) else None,
    )
    with anyio.fail_after(30):
        events = await stage.turn("sleep", cancel)
    assert events[-1] == TurnEnded(stop_reason="cancelled")
    assert [e.result for e in events if isinstance(e, ToolFinished)] == ["error: cancelled"]
    pid = int((tmp_path / "pid").read_text())
    with anyio.fail_after(10):
        while _runs(pid):
            await anyio.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    # A zombie that no one has reaped yet has ended all the same.
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[-1].split()[0] == "Z")


async def test_stale_file_is_refused_in_the_next_turn(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    recording = Recording()
    stage = RealStage(
        playing(
            use("read_file", path="greet.py"),
            ["Read."],
            use("edit_file", path="greet.py", edits=[{"old_text": "hello", "new_text": "x"}]),
            ["Hm."],
            recording=recording,
        ),
        workspace=workspace,
    )
    config = stage.config()
    stage.config = lambda: config  # type: ignore[method-assign]
    await stage.turn("read")
    (tmp_path / "greet.py").write_text('changed = "hello"\n')
    events = await stage.turn("edit")
    (result,) = [event for event in events if isinstance(event, ToolFinished)]
    assert result.status == "failed"
    assert (tmp_path / "greet.py").read_text() == 'changed = "hello"\n'


async def test_question_is_asked_once_per_call(workspace: LocalWorkspace) -> None:
    stage = RealStage(
        playing(use("run_command", command="ls"), use("run_command", command="ls"), ["ok"]),
        mode="ask",
        workspace=workspace,
    )
    await stage.turn("twice")
    assert len({asked.call_id for asked in stage.asked}) == 2


@pytest.mark.parametrize(("mode", "asked"), [("plan", 0), ("ask", 1), ("accept_edits", 1)])
async def test_a_background_command_is_not_stopped_without_a_yes(
    workspace: LocalWorkspace, mode: Mode, asked: int
) -> None:
    await workspace.start(CommandRequest("exec sleep 600", workspace.roots[0], 600))
    stage = RealStage(
        playing(
            use("command_output", id="bg1", stop=True), use("command_output", id="bg1"), ["ok"]
        ),
        workspace=workspace,
        mode=mode,
        answer="reject_once",
    )
    events = await stage.turn("stop it")
    refused, looked = [event for event in events if isinstance(event, ToolFinished)]
    assert refused.status == "failed"
    assert looked.result.startswith("bg1 runs")
    assert len(stage.asked) == asked


async def test_a_background_command_is_stopped_after_a_yes(workspace: LocalWorkspace) -> None:
    await workspace.start(CommandRequest("exec sleep 600", workspace.roots[0], 600))
    stage = RealStage(
        playing(use("command_output", id="bg1", stop=True), ["ok"]), workspace=workspace, mode="ask"
    )
    (stopped,) = [e for e in await stage.turn("stop it") if isinstance(e, ToolFinished)]
    assert stopped.result.startswith("bg1 ended")
