"""Calls that code makes: permitted, shown and recorded as all calls; the model reads none."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from json import dumps
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_ai.messages import ModelRequest, ToolReturnPart

from punie.agent.calls import AskUser
from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    Mode,
    PermissionAnswered,
    ToolFinished,
    ToolProgress,
    ToolRunning,
    ToolStarted,
    ToolWriting,
    TurnEnded,
    TurnEvent,
)
from punie.agent.permissions.store import Permissions
from punie.agent.turn_config import TurnConfig, turn_tools
from punie.tools.base import Answered, Question
from punie.tools.catalog import ALL_TOOLS
from punie.tools.code.run_code import run_code_tool
from punie.tools.presentation import TextContent
from punie.workspace.base import Workspace
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.local import LocalWorkspace
from tests.agent.stage import Piece, Recording, Script, Stage, call, messages_from_events, scripted
from tests.agent.test_writing import written

pytestmark = pytest.mark.anyio


@dataclass
class CodeStage(Stage):
    """A stage with the small tools in code mode."""

    permissions: Permissions | None = None

    def config(self) -> TurnConfig:
        tools = (run_code_tool(self.props.tools()),)
        return replace(super().config(), tools=tools, permissions=self.permissions)


def playing(*answers: Sequence[Piece | float]) -> Script:
    """Give these answers, one after another, and then say that it is done."""
    return lambda done, _: answers[done] if done < len(answers) else ["Done."]


def running(*codes: str, recording: Recording | None = None, **more: Any) -> CodeStage:
    """A stage whose model runs these codes one after another and then says so."""
    answers: list[list[Piece]] = [[call("run_code", dumps({"code": code}))] for code in codes]
    return CodeStage(scripted(playing(*answers), recording), **more)


def kinds(events: list[TurnEvent]) -> list[str]:
    return [event.kind for event in events if event.kind.startswith(("tool_", "permission"))]


def outer_end(events: list[TurnEvent]) -> ToolFinished:
    """Return the end of the code's own call, which is the last of all."""
    return [event for event in events if isinstance(event, ToolFinished)][-1]


async def test_calls_of_code_are_calls_of_their_own() -> None:
    recording = Recording()
    stage = running("t = echo('a', times=3)\nnote('n')\nprint(t)", recording=recording)
    events = await stage.turn("go")
    assert events[-1] == TurnEnded(stop_reason="end_turn")
    assert stage.props.ran == ["echo a", "note n"]
    one = ["tool_started", "tool_running", "tool_finished"]
    assert kinds(events) == [*one[:2], *one, *one, one[2]]
    outer, echo, note = (event for event in events if isinstance(event, ToolStarted))
    assert (outer.tool, outer.parent) == ("run_code", None)
    assert [echo.parent, note.parent] == [outer.call_id] * 2
    assert (echo.tool, echo.arguments) == ("echo", {"text": "a", "times": 3})
    assert (note.presentation.title, note.presentation.kind) == ("Edit n", "edit")
    assert len({outer.call_id, echo.call_id, note.call_id}) == 3
    assert outer_end(events).result == "aaa"


async def test_the_model_knows_only_of_its_own_call() -> None:
    recording = Recording()
    stage = running("print(echo('inner'))", "print(echo('second'))", recording=recording)
    await stage.turn("go")
    await stage.turn("again")
    for messages in (*recording.requests, messages_from_events(stage.events)):
        text = str(messages)
        assert "tool_name='echo'" not in text
    results = [
        part.content
        for message in recording.requests[-1]
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    ]
    assert results == ["inner", "second"]


async def test_the_question_comes_in_the_middle_and_a_yes_goes_on() -> None:
    stage = running("print(1)\nprint(note('n'))", mode="ask")
    events = await stage.turn("go")
    (asked,) = stage.asked
    started = [event for event in events if isinstance(event, ToolStarted)]
    assert asked.call_id == started[1].call_id
    assert asked.presentation.content == started[1].presentation.content
    assert outer_end(events).result == "1\nedited n"


CATCHING = """\
for name in ("a", "b", "c"):
    try:
        print(note(name))
    except PermissionError as error:
        print("no:", error)
try:
    wait(0)
except PermissionError as error:
    print("no:", error)
print(echo("read"))
"""


async def test_a_no_holds_for_the_rest_of_the_code() -> None:
    stage = running(CATCHING, mode="ask", answer="reject_once")
    events = await stage.turn("go")
    assert len(stage.asked) == 1
    assert stage.props.ran == ["echo read"]
    assert outer_end(events).result == ("no: the user did not allow this call\n" * 4 + "read")
    assert [event.status for event in events if isinstance(event, ToolFinished)] == [
        "failed", "completed", "completed",
    ]  # fmt: skip


async def test_a_no_that_is_not_caught_fails_the_code() -> None:
    stage = running("print('before')\nnote('n')\nprint('after')", mode="ask", answer="reject_once")
    events = await stage.turn("go")
    end = outer_end(events)
    assert end.status == "failed"
    assert end.result == (
        "error: line 2 `note('n')`: PermissionError: the user did not allow this call\n"
        "printed before that:\nbefore"
    )
    assert stage.props.ran == []


@pytest.mark.parametrize("mode", ["plan", "accept_edits", "auto"])
async def test_modes_mean_inside_what_they_mean_outside(mode: Mode) -> None:
    stage = running(CATCHING, mode=mode, answer="allow_once")
    events = await stage.turn("go")
    ran = {
        "plan": ["echo read"],
        "accept_edits": ["note a", "note b", "note c", "wait", "echo read"],
        "auto": ["note a", "note b", "note c", "wait", "echo read"],
    }
    assert stage.props.ran == ran[mode]
    assert len(stage.asked) == (1 if mode == "accept_edits" else 0)
    assert ("plan mode only allows reading" in outer_end(events).result) == (mode == "plan")


async def test_rules_hold_inside(workspace: LocalWorkspace, tmp_path: Path) -> None:
    permissions = Permissions(tmp_path / "config", tmp_path)
    permissions.project_path.parent.mkdir()
    permissions.project_path.write_text('[[rules]]\ndecision = "deny"\ncommand = "touch *"\n')
    stage = real("run_command('touch x')", workspace, mode="auto")
    stage.permissions = permissions
    events = await stage.turn("go")
    assert "PermissionError: a rule of the user forbids" in outer_end(events).result
    assert not (tmp_path / "x").exists()


async def test_a_cancelled_question_ends_the_turn() -> None:
    stage = running("note('n')\nprint('after')", mode="ask", answer=None)
    with anyio.fail_after(10):
        events = await stage.turn("go")
    assert events[-1] == TurnEnded(stop_reason="cancelled")
    ends = [event for event in events if isinstance(event, ToolFinished)]
    assert [(end.status, end.result) for end in ends] == [("failed", "error: cancelled")] * 2
    assert isinstance(events[-4], PermissionAnswered)


async def test_a_cancel_ends_the_running_call_and_the_code() -> None:
    cancel = CancelSignal()

    def stop(event: TurnEvent) -> None:
        if isinstance(event, ToolProgress):
            cancel.cancel()

    stage = running("try:\n    wait(60)\nexcept BaseException: pass\necho('after')", on_event=stop)
    with anyio.fail_after(10):
        events = await stage.turn("go", cancel)
    assert events[-1] == TurnEnded(stop_reason="cancelled")
    assert stage.props.ran == stage.props.ended == ["wait"]
    ends = [event for event in events if isinstance(event, ToolFinished)]
    assert [end.result for end in ends] == ["error: cancelled"] * 2


async def test_a_cancel_ends_code_that_only_computes() -> None:
    cancel = CancelSignal()
    stage = running("while True: pass")

    async def stop() -> None:
        while not any(isinstance(event, ToolRunning) for event in stage.events):
            await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        cancel.cancel()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            events = await stage.turn("go", cancel)
    assert events[-1] == TurnEnded(stop_reason="cancelled")


async def test_failures_are_exceptions_with_what_the_tool_said() -> None:
    code = (
        "for text in ('boom', 'bug'):\n"
        "    try:\n        echo(text)\n"
        "    except RuntimeError as error:\n        print(error)\n"
        "try:\n    echo()\nexcept TypeError as error:\n    print(error)\n"
        "note('done')\n"
        "echo('x', times=[])"
    )
    # Out of the checker's sight, which finds the last two before anything runs.
    stage = running(code, f"exec({code!r})")
    events = await stage.turn("go")
    first, last = (
        event.result
        for event in events
        if isinstance(event, ToolFinished) and "line" in event.result
    )
    assert first == (
        "error: line 7: No argument provided for required parameter `text` of function `echo`; "
        "it is echo(text: str, times: int = 1, suffix: str = None) -> str"
    )
    said = last.splitlines()
    assert said[0].startswith("error: line 1 `exec(")
    assert "RuntimeError: echo: times: input should be a valid integer" in said[0]
    assert said[1:] == [
        "printed before that:",
        "nothing to echo; give another text",
        "echo failed: RuntimeError: a bug",
        "echo() needs text; it is echo(text: str, times: int = 1, suffix: str = None) -> str",
        "(done before that and not undone: note)",
    ]


async def test_code_is_shown_while_it_is_written_and_above_its_output() -> None:
    code = "for n in range(3):\n    print(n)\n"
    pieces = written("run_code", {"code": code}, pause=0.1)
    stage = CodeStage(scripted(playing(pieces)))
    events = await stage.turn("go")
    shown = [
        content.text
        for event in events
        if isinstance(event, ToolWriting)
        for content in event.presentation.content
        if isinstance(content, TextContent)
    ]
    assert shown
    assert all(text.startswith("```python\nfor n") for text in shown)
    end = outer_end(events)
    assert end.presentation.title == "Run code: for n in range(3): …"
    assert end.presentation.kind == "other"
    texts = [content.text for content in end.presentation.content if content.type == "text"]
    assert texts == [f"```python\n{code.strip()}\n```", "```\n0\n1\n2\n```"]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("1 + 1", "2"),
        ("print('a')\n'b'", "a\nb"),
        ("[echo('x'), None]", "['x', None]"),
        ("```python\n  if 1:\n    print(2)\n```\n", "2"),
        ("\n    x = 1\n    x + 1\n", "2"),
        ("```\n3\n```", "3"),
        ("print('```')", "```"),
        ("x = 1", "(no output; print what you want to read)"),
        ("print('y' * 900)", "y" * 500 + "\n(cut: 500 of 901 characters; print less)"),
    ],
)
async def test_what_the_model_reads(code: str, result: str) -> None:
    stage = running(code, result_chars=500)
    assert outer_end(await stage.turn("go")).result == result


@pytest.mark.parametrize("code", ["", "  \n"])
async def test_no_code_is_an_error(code: str) -> None:
    stage = running(code)
    assert outer_end(await stage.turn("go")).result == "error: the code is empty"


def test_there_is_one_tool_in_code_mode() -> None:
    (tool,) = turn_tools((), attended=True, code_mode=True)
    assert tool.name == "run_code"
    assert tool.effect == "read"
    assert turn_tools((), attended=True, code_mode=False) == ALL_TOOLS


@dataclass
class RealCodeStage(CodeStage):
    workspace: Workspace = field(kw_only=True)
    ask_user: AskUser | None = None

    def config(self) -> TurnConfig:
        return replace(
            super().config(),
            tools=turn_tools((), attended=True, code_mode=True),
            workspace=self.workspace,
            ask_user=self.ask_user,
        )


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[LocalWorkspace]:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(f"def {name}():\n    return 'hello'\n")
    workspace = LocalWorkspace([tmp_path])
    yield workspace
    await workspace.aclose()


REAL = """\
for match in search("hello"):
    path = match["path"]
    text = read_file(path)
    assert text.split("\\n")[match["line"] - 1] == match["text"], match
    edit_file(path, [{"old_text": "hello", "new_text": "good day"}])
print([name for name in list_dir() if name.endswith(".py")])
assert read_file("one.py", start_line=2) == "    return 'good day'"
done = run_command("cat two.py; exit 3")
print(done["exit_code"], done["output"])
update_plan([{"content": "all", "status": "completed"}])
"""


def real(code: str, workspace: Workspace, **more: Any) -> RealCodeStage:
    model = scripted(playing([call("run_code", dumps({"code": code}))]))
    return RealCodeStage(model, workspace=workspace, **more)


async def test_real_tools_give_data_and_their_edits_can_be_taken_back(
    workspace: LocalWorkspace, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recorder = Recorder(tmp_path_factory.mktemp("checkpoints"))
    events = await real(REAL, CheckpointedWorkspace(workspace, recorder)).turn("go")
    assert outer_end(events).result == (
        "['one.py', 'two.py']\n3 def two():\n    return 'good day'\nplan shown: 1 of 1 done"
    )
    assert "good day" in (tmp_path / "one.py").read_text()
    (turn,) = recorder.journal.turns()
    assert {change.path.name for change in turn.changes} == {"one.py", "two.py"}
    assert all(change.sure for change in turn.changes)


async def test_the_value_of_a_last_call_reads_as_the_calls_own_result(
    workspace: LocalWorkspace,
) -> None:
    for code, result in (
        ("run_command('cat one.py; exit 3')", "exit code 3\ndef one():\n    return 'hello'"),
        ("search('nothing like it')", "(no matches)"),
        ("found = search('hello')\nlist_dir()\nlen(found)", "2"),
    ):
        assert outer_end(await real(code, workspace).turn("go")).result == result


@pytest.mark.parametrize(
    "raw",
    [b"a\r\nb\r\n", b"\xef\xbb\xbfa\nb", b"a\n\n", b"", "é\u2028😀\n".encode()],
)
async def test_what_is_read_and_written_back_is_what_it_was(
    workspace: LocalWorkspace, tmp_path: Path, raw: bytes
) -> None:
    (tmp_path / "raw.txt").write_bytes(raw)
    code = "text = read_file('raw.txt')\nwrite_file('raw.txt', text + 'x')\n"
    code += "assert read_file('raw.txt') == text + 'x'\nwrite_file('raw.txt', text)"
    events = await real(code, workspace).turn("go")
    assert outer_end(events).status == "completed", outer_end(events).result
    assert (tmp_path / "raw.txt").read_bytes() == raw


async def test_code_can_put_the_questions_of_the_model(workspace: LocalWorkspace) -> None:
    asked: list[tuple[str, Question]] = []

    async def ask(call_id: str, question: Question) -> Answered:
        asked.append((call_id, question))
        return Answered("blue")

    stage = real("print('It is', ask_user('Which?', ['red', 'blue']))", workspace)
    stage.ask_user = ask
    events = await stage.turn("go")
    assert "blue" in outer_end(events).result
    ((call_id, question),) = asked
    assert question == Question("Which?", ("red", "blue"))
    inner = [event for event in events if isinstance(event, ToolStarted)][1]
    assert call_id == inner.call_id
