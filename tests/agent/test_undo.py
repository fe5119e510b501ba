"""Undo is worked out from events and from what the files hold, and from nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.agent.events import (
    PermissionAsked,
    PromptText,
    TextDelta,
    ToolFinished,
    ToolRunning,
    ToolStarted,
    TurnEnded,
    TurnEvent,
    UserMessage,
)
from punie.agent.undo import (
    UNDO_TOOL,
    Refusal,
    Reversal,
    changing_turns,
    note_for_model,
    plan_undo,
    set_back,
    undoable_turns,
    with_note,
)
from punie.tools.presentation import DiffContent, Presentation
from punie.workspace.local import LocalWorkspace
from tests.agent.stage import prompt

pytestmark = pytest.mark.anyio


@dataclass
class Project:
    """A folder in which turns change files, and the events of that."""

    root: Path
    events: list[TurnEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workspace = LocalWorkspace([self.root])

    def text(self, name: str) -> str | None:
        path = self.root / name
        return path.read_text() if path.exists() else None

    def write(self, name: str, text: str | None) -> None:
        path = self.root / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def begin(self, text: str = "do it", command: str | None = None) -> None:
        self.events.append(prompt(text).model_copy(update={"command": command}))

    def edit(
        self,
        name: str,
        new: str,
        *,
        status: str | None = "completed",
        happens: bool = True,
        tool: str = "write_file",
        arguments: dict[str, Any] | None = None,
    ) -> None:
        """Change a file as a tool would; a `status` of None leaves no record of the end."""
        call_id = f"call-{len(self.events)}"
        shown = Presentation(
            title="Edit",
            kind="edit",
            content=(DiffContent(path=self.root / name, old_text=self.text(name), new_text=new),),
        )
        self.events += [
            ToolStarted(
                call_id=call_id,
                message_id="m",
                tool=tool,
                arguments=arguments or {},
                presentation=shown,
            ),
            ToolRunning(call_id=call_id),
        ]
        if happens:
            self.write(name, new)
        if status is not None:
            self.events.append(
                ToolFinished(
                    call_id=call_id,
                    status="completed" if status == "completed" else "failed",
                    result="",
                    presentation=shown,
                )
            )

    def end(self) -> None:
        self.events.append(TurnEnded(stop_reason="end_turn"))

    async def undo(self, most: int = 1) -> tuple[list[Reversal], list[Refusal]]:
        """Take turns back as the command does."""
        turns = await undoable_turns(self.events, self.workspace, most)
        reversals, refusals = await plan_undo(turns, self.workspace)
        self.begin("/undo", command="undo")
        for reversal in reversals:
            await set_back(reversal, self.workspace)
            self.undone(reversal)
        self.end()
        return reversals, refusals

    def undone(self, reversal: Reversal) -> None:
        call_id = f"undo-{len(self.events)}"
        shown = Presentation(
            title="Undo",
            kind="edit",
            content=(DiffContent(path=reversal.path, old_text="x", new_text=reversal.text or ""),),
        )
        self.events += [
            ToolStarted(
                call_id=call_id,
                message_id="m",
                tool=UNDO_TOOL,
                arguments={"calls": list(reversal.calls)},
                presentation=shown,
            ),
            ToolRunning(call_id=call_id),
            ToolFinished(call_id=call_id, status="completed", result="", presentation=shown),
        ]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "a.py").write_text("one\n")
    (tmp_path / "b.py").write_text("bee\n")
    return Project(tmp_path)


async def test_the_last_turn_with_changes_is_taken_back(project: Project) -> None:
    project.begin("change a")
    project.edit("a.py", "two\n")
    project.end()
    project.begin("change a and make c")
    project.edit("a.py", "three\n")
    project.edit("a.py", "four\n")
    project.edit("new/c.py", "sea\n")
    project.end()
    project.begin("what did you do?")
    project.events.append(TextDelta(message_id="m", text="this"))
    project.end()
    reversals, refusals = await project.undo()
    assert not refusals
    assert [(reversal.path.name, reversal.text) for reversal in reversals] == [
        ("c.py", None),
        ("a.py", "two\n"),
    ]
    assert (project.text("a.py"), project.text("new/c.py")) == ("two\n", None)
    # Once more takes the turn before.
    await project.undo()
    assert project.text("a.py") == "one\n"
    assert await undoable_turns(project.events, project.workspace, 9) == []


async def test_several_turns_at_once(project: Project) -> None:
    for text in ("two\n", "three\n", "four\n"):
        project.begin()
        project.edit("a.py", text)
        project.end()
    _, refusals = await project.undo(2)
    assert not refusals
    assert project.text("a.py") == "two\n"


async def test_a_file_changed_since_is_left(project: Project) -> None:
    project.begin()
    project.edit("a.py", "two\n")
    project.edit("b.py", "cee\n")
    project.end()
    project.write("a.py", "mine\n")
    reversals, refusals = await project.undo()
    assert [reversal.path.name for reversal in reversals] == ["b.py"]
    assert refusals[0].reason == "a.py was changed since then and was left as it is"
    assert (project.text("a.py"), project.text("b.py")) == ("mine\n", "bee\n")


async def test_a_change_of_somebody_else_in_between_ends_the_way_back(project: Project) -> None:
    project.begin()
    project.edit("a.py", "two\n")
    project.write("a.py", "mine\n")
    project.edit("a.py", "mine too\n")
    project.end()
    reversals, refusals = await project.undo()
    assert project.text("a.py") == "mine\n"
    assert len(reversals) == 1
    assert "in between" in refusals[0].reason


async def test_a_removed_file_is_told(project: Project) -> None:
    project.begin()
    project.edit("a.py", "two\n")
    project.end()
    project.write("a.py", None)
    reversals, refusals = await project.undo()
    assert not reversals
    assert refusals[0].reason == "a.py is not there any more"


async def test_what_is_already_as_before_counts_as_taken_back(project: Project) -> None:
    project.begin()
    project.edit("a.py", "two\n")
    project.edit("c.py", "sea\n")
    project.end()
    project.write("a.py", "one\n")
    project.write("c.py", None)
    reversals, refusals = await project.undo()
    assert not refusals
    assert all(reversal.needless for reversal in reversals)
    assert len(reversals) == 2
    assert changing_turns(project.events) == []


@pytest.mark.parametrize("status", [None, "failed"])
async def test_an_edit_without_a_recorded_end_counts_if_it_happened(
    project: Project, status: str | None
) -> None:
    project.begin()
    project.edit("a.py", "two\n")
    project.end()
    project.begin()
    project.edit("a.py", "three\n", status=status)
    await project.undo()
    assert project.text("a.py") == "two\n"
    project.begin()
    project.edit("b.py", "never\n", status=status, happens=False)
    # The turn in which nothing happened is passed over.
    await project.undo()
    assert (project.text("a.py"), project.text("b.py")) == ("one\n", "bee\n")


async def test_the_question_shows_the_latest_diff(project: Project) -> None:
    project.begin()
    project.edit("a.py", "stale\n", status=None, happens=False)
    started = project.events[-2]
    running = project.events.pop()
    assert isinstance(started, ToolStarted)
    real = Presentation(
        title="Edit",
        kind="edit",
        content=(DiffContent(path=project.root / "a.py", old_text="one\n", new_text="two\n"),),
    )
    project.events += [
        PermissionAsked(call_id=started.call_id, presentation=real, choices=()),
        running,
    ]
    project.write("a.py", "two\n")
    await project.undo()
    assert project.text("a.py") == "one\n"


async def test_a_denied_or_broken_edit_is_no_change(project: Project) -> None:
    project.begin()
    project.edit("a.py", "two\n", status="failed", happens=False)
    project.events = [event for event in project.events if not isinstance(event, ToolRunning)]
    assert changing_turns(project.events) == []


async def test_line_ends_and_marks_survive(project: Project) -> None:
    (project.root / "a.py").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    before = (project.root / "a.py").read_bytes()
    file = await project.workspace.read_text(project.root / "a.py")
    project.begin()
    call = DiffContent(path=file.path, old_text=file.text, new_text="one\n2\n")
    shown = Presentation(title="Edit", kind="edit", content=(call,))
    project.events += [
        ToolStarted(
            call_id="c", message_id="m", tool="edit_file", arguments={}, presentation=shown
        ),
        ToolRunning(call_id="c"),
        ToolFinished(call_id="c", status="completed", result="", presentation=shown),
    ]
    await project.workspace.write_text(file.path, "one\n2\n", like=file)
    await project.undo()
    assert (project.root / "a.py").read_bytes() == before


async def test_paths_outside_are_refused(project: Project, tmp_path_factory: Any) -> None:
    outside = tmp_path_factory.mktemp("outside") / "a.py"
    outside.write_text("two\n")
    shown = Presentation(
        title="Edit",
        kind="edit",
        content=(DiffContent(path=outside, old_text="one\n", new_text="two\n"),),
    )
    project.begin()
    project.events += [
        ToolStarted(
            call_id="c", message_id="m", tool="edit_file", arguments={}, presentation=shown
        ),
        ToolRunning(call_id="c"),
        ToolFinished(call_id="c", status="completed", result="", presentation=shown),
    ]
    reversals, refusals = await project.undo()
    assert not reversals
    assert "workspace" in refusals[0].reason
    assert outside.read_text() == "two\n"


async def test_the_model_is_told_once(project: Project) -> None:
    project.begin()
    project.edit("a.py", "two\n")
    project.end()
    await project.undo()
    next_prompt = prompt("go on")
    told = with_note(next_prompt, project.events, project.root)
    assert told.text == (
        "(The user took your changes to a.py back with /undo; read before you change these files "
        "again.)\n\ngo on"
    )
    assert told.blocks == next_prompt.blocks == (PromptText(text="go on"),)
    assert changing_turns([told, *project.events[1:3]])[0].prompt == "go on"
    project.events += [told, TurnEnded(stop_reason="end_turn")]
    assert with_note(next_prompt, project.events, project.root) is next_prompt


async def test_the_model_is_told_of_what_commands_wrote(project: Project) -> None:
    project.begin("/init", command="init")
    project.edit("AGENTS.md", "# Guide\n")
    project.end()
    assert note_for_model(project.events, project.root) == (
        "The user had AGENTS.md written by a command of the IDE."
    )
    await project.undo()
    assert project.text("AGENTS.md") is None
    assert note_for_model(project.events, project.root) == ""


NAMES = st.sampled_from(["a.py", "b.py", "c.py"])
TEXTS = st.sampled_from(["", "one\n", "two\n", "three\n"])
TURNS = st.lists(st.lists(st.tuples(NAMES, TEXTS), max_size=4), max_size=5)


@given(turns=TURNS, most=st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_taking_turns_back_leads_to_the_state_before_them(
    tmp_path_factory: pytest.TempPathFactory, turns: Sequence[Sequence[tuple[str, str]]], most: int
) -> None:
    async def main() -> None:
        project = Project(tmp_path_factory.mktemp("project"))
        project.write("a.py", "one\n")
        states = [[project.text(name) for name in ("a.py", "b.py", "c.py")]]
        for edits in turns:
            project.begin()
            for name, text in edits:
                project.edit(name, text)
            project.end()
            if edits:
                states.append([project.text(name) for name in ("a.py", "b.py", "c.py")])
        _, refusals = await project.undo(most)
        assert not refusals
        wanted = states[max(len(states) - 1 - most, 0)]
        assert [project.text(name) for name in ("a.py", "b.py", "c.py")] == wanted

    anyio.run(main)


async def test_user_messages_of_old_sessions_have_no_command() -> None:
    old = '{"kind": "user_message", "message_id": "m", "blocks": [], "text": "t"}'
    assert UserMessage.model_validate_json(old).command is None
