"""explore: another conversation that only reads, of which this one gets the answer."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    PermissionAsked,
    TextDelta,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    TurnEnded,
    UsageChanged,
)
from punie.agent.exploring import INSTRUCTIONS, MAX_REQUESTS
from punie.agent.turn_config import TurnConfig
from punie.tools.catalog import READING_TOOLS
from punie.tools.explore import ANSWER_CHARS
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.local import LocalWorkspace
from tests.agent.stage import Piece, Recording, Script, call, messages_from_events, scripted
from tests.agent.test_compaction import results
from tests.agent.test_history import flat
from tests.agent.test_project_guides import InProject, put
from tests.texts import numbers

pytestmark = pytest.mark.anyio

TASK = "Where is the total computed?"


def exploring(inner: Script, *, code: bool = False) -> Script:
    """A model that explores in its first response; `inner` answers in the other conversation."""

    def script(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        if flat(messages)[0] == ("user", TASK):
            return inner(done, messages)
        if done:
            return ["It is in shop.py."]
        if code:
            source = f"answer = explore(task={TASK!r})\nprint(answer)"
            return [call("run_code", json.dumps({"code": source}))]
        return [call("explore", json.dumps({"task": TASK}), "c1")]

    return script


def looks(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
    if done == 0:
        # The same id as the call in the other conversation, as models that count calls give it.
        return ["I search.", call("search", json.dumps({"pattern": "total"}), "c1")]
    if done == 1:
        return [call("read_file", json.dumps({"path": "shop.py"}))]
    return ["`total` in shop.py, line 1."]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    put(tmp_path / "shop.py", "def total(): ...\n")
    put(tmp_path / ".env", "KEY=secret\n")
    return tmp_path


@pytest.mark.parametrize("code", [False, True])
async def test_only_the_answer_reaches_the_session_and_the_calls_are_children(
    project: Path, code: bool
) -> None:
    recording = Recording()
    model = scripted(exploring(looks, code=code), recording)
    stage = InProject(model, mode="ask", root=project, code_mode=code)
    events = await stage.turn("where?")
    assert events[-1] == TurnEnded(stop_reason="end_turn")
    started = [event for event in events if isinstance(event, ToolStarted)]
    outer = started[1] if code else started[0]
    children = started[started.index(outer) + 1 :]
    assert outer.tool == "explore"
    assert [(child.tool, child.parent) for child in children] == [
        ("search", outer.call_id),
        ("read_file", outer.call_id),
    ]
    assert len({event.call_id for event in started}) == len(started)
    ends = {event.call_id: event for event in events if isinstance(event, ToolFinished)}
    assert "1:def total(): ..." in ends[children[1].call_id].result
    assert ends[outer.call_id].result == "`total` in shop.py, line 1."
    progress = "".join(
        event.text
        for event in events
        if isinstance(event, ToolProgress) and event.call_id == outer.call_id
    )
    assert progress == "I search.\n\n`total` in shop.py, line 1."
    said = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(said) == "It is in shop.py."
    kept = results(messages_from_events(stage.events))
    assert list(kept.values()) == ["`total` in shop.py, line 1."]
    assert flat(recording.requests[-1]) == flat(messages_from_events(stage.events))[:-1]
    await stage.turn("and now?")
    assert flat(recording.requests[-1])[:-1] == flat(messages_from_events(stage.events))[:-2]


async def test_it_has_its_own_tools_and_instructions_and_its_cost_is_told(project: Path) -> None:
    seen: list[AgentInfo] = []
    script = exploring(looks)

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        if flat(messages)[0] == ("user", TASK):
            seen.append(info)
        done = sum(isinstance(message, ModelResponse) for message in messages)
        for piece in script(done, messages):
            yield piece

    stage = InProject(FunctionModel(stream_function=stream), root=project)
    events = await stage.turn("where?")
    assert len(seen) == 3
    names = [tool.name for tool in seen[0].function_tools]
    assert names == [tool.name for tool in READING_TOOLS]
    assert not {"explore", "run_command", "edit_file", "command_output", "lint"} & set(names)
    assert {info.instructions for info in seen} == {INSTRUCTIONS.strip()}
    usage = [event for event in events if isinstance(event, UsageChanged)]
    assert len(usage) == 5
    assert {event.context_tokens for event in usage[:4]} == {usage[0].context_tokens}
    assert all(event.input_tokens and event.output_tokens for event in usage)


async def test_a_call_that_changes_something_is_none_of_its_tools(project: Path) -> None:
    def writes(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        if done:
            return [next(iter(results(messages).values()))]
        return [call("write_file", json.dumps({"path": "a.py", "content": "1"}))]

    stage = InProject(scripted(exploring(writes)), root=project)
    await stage.turn("go")
    (answer,) = results(messages_from_events(stage.events)).values()
    assert "there is no tool 'write_file'" in answer
    assert not (project / "a.py").exists()


async def test_changes_after_it_belong_to_the_sessions_turn(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recorder = Recorder(tmp_path_factory.mktemp("checkpoints"))

    def script(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        if done == 1 and flat(messages)[0] != ("user", TASK):
            return [call("write_file", json.dumps({"path": "new.txt", "content": "1"}))]
        return exploring(looks)(done, messages)

    class Recorded(InProject):
        def config(self) -> TurnConfig:
            workspace = CheckpointedWorkspace(LocalWorkspace([project]), recorder)
            return replace(super().config(), workspace=workspace, watch=workspace.watch)

    stage = Recorded(scripted(script), root=project)
    events = await stage.turn("go")
    assert (project / "new.txt").read_text() == "1"
    assert events[0].kind == "user_message"
    assert [turn.id for turn in recorder.journal.turns()] == [events[0].message_id]


async def test_questions_reach_the_person_and_a_no_holds(project: Path) -> None:
    def reads_secret(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        if done:
            return [next(iter(results(messages).values()))]
        return [call("read_file", json.dumps({"path": ".env"}))]

    stage = InProject(scripted(exploring(reads_secret)), root=project, answer="reject_once")
    await stage.turn("go")
    (asked,) = stage.asked
    child = next(e for e in stage.events if isinstance(e, ToolStarted) and e.parent is not None)
    assert asked.call_id == child.call_id
    (answer,) = results(messages_from_events(stage.events)).values()
    assert answer == "error: the user did not allow this call"
    assert "secret" not in str(stage.events)


async def test_a_cancelled_question_ends_the_whole_turn(project: Path) -> None:
    def reads_secret(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        return [call("read_file", json.dumps({"path": ".env"}))]

    stage = InProject(scripted(exploring(reads_secret)), root=project, answer=None)
    events = await stage.turn("go")
    assert events[-1] == TurnEnded(stop_reason="cancelled")
    assert sum(isinstance(event, PermissionAsked) for event in events) == 1
    assert all_ended(stage)


async def test_a_cancel_ends_it_with_all_its_calls(project: Path) -> None:
    def waits(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        return looks(done, messages) if done < 2 else [30.0, "late"]

    cancel = CancelSignal()
    stage = InProject(scripted(exploring(waits)), root=project)

    def on_event(event: object) -> None:
        if isinstance(event, ToolStarted) and event.tool == "read_file":
            cancel.cancel()

    stage.on_event = on_event
    events = await stage.turn("go", cancel)
    assert events[-1] == TurnEnded(stop_reason="cancelled")
    assert all_ended(stage)
    assert "late" not in str(events)


def all_ended(stage: InProject) -> bool:
    started = {event.call_id for event in stage.events if isinstance(event, ToolStarted)}
    ended = [event.call_id for event in stage.events if isinstance(event, ToolFinished)]
    return sorted(ended) == sorted(started)


@pytest.mark.parametrize("says", ["Still looking.", ""])
async def test_it_stops_after_its_requests_with_what_was_said(project: Path, says: str) -> None:
    recording = Recording()

    def never_ends(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        return [*([says] if says else []), call("search", json.dumps({"pattern": f"x{done}"}))]

    stage = InProject(scripted(exploring(never_ends), recording), root=project)
    events = await stage.turn("go")
    assert events[-1] == TurnEnded(stop_reason="end_turn")
    assert sum(flat(r)[0] == ("user", TASK) for r in recording.requests) == MAX_REQUESTS
    (answer,) = results(messages_from_events(stage.events)).values()
    if says:
        assert answer.startswith("(stopped before it was done; this was said so far)\nStill")
    else:
        assert answer == "error: no answer was found in time; ask for less, or look yourself"


async def test_a_model_that_fails_or_says_nothing_is_told(project: Path) -> None:
    def fails(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        raise RuntimeError("no memory")

    for inner, said in (
        (fails, "error: The model failed: no memory; look yourself"),
        (lambda done, m: [" "], "error: there was no answer; look yourself"),
    ):
        stage = InProject(scripted(exploring(inner)), root=project)
        events = await stage.turn("go")
        assert events[-1] == TurnEnded(stop_reason="end_turn")
        assert list(results(messages_from_events(stage.events)).values()) == [said]


async def test_long_answers_are_cut(project: Path) -> None:
    stage = InProject(scripted(exploring(lambda done, m: [numbers(8_999)])), root=project)
    await stage.turn("go")
    (answer,) = results(messages_from_events(stage.events)).values()
    shown = numbers(8_999)[:ANSWER_CHARS]
    assert answer == f"{shown}\n(cut at 6000 of 8999 characters; ask for less)"
