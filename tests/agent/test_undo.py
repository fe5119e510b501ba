"""Turns are taken back and brought back with what was kept of them, byte for byte."""

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.agent.events import PromptText
from punie.agent.undo import MOST_SHOWN, move_turns, with_note
from punie.workspace.base import WorkspaceError
from tests.agent.checkpointed import Project
from tests.agent.stage import prompt

pytestmark = pytest.mark.anyio
NONE_LEFT = "There are no file changes to take back in this session."
NOTHING_TO_REDO = "There are no file changes to bring back in this session."


@pytest.fixture
async def project(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Project]:
    project = Project(tmp_path / "project", tmp_path / "kept")
    (project.root / "a.py").write_bytes(b"one\n")
    (project.root / "b.py").write_bytes(b"bee\n")
    yield project
    await project.aclose()


async def test_turns_go_back_and_come_again(project: Project) -> None:
    states = [project.files()]
    project.begin("Change a")
    await project.edit("a.py", "two\n")
    states.append(project.files())
    project.begin("Change a and make c")
    await project.edit("a.py", "three\n")
    await project.edit("a.py", "four\n")
    await project.edit("new/deep/c.py", "sea\n")
    states.append(project.files())
    project.begin("what did you do?")
    assert await project.undo() == (
        "The file changes of the turn “Change a and make c” are taken back:\n\n"
        "- `new/deep/c.py` is removed\n- `a.py` is as it was before"
    )
    # The folders that were made for it are gone too.
    assert project.files() == states[1]
    await project.undo()
    assert project.files() == states[0]
    assert await project.undo() == NONE_LEFT
    project.restart()
    assert await project.redo() == (
        "The file changes of the turn “Change a” are brought back:\n\n- `a.py` is changed again"
    )
    assert project.files() == states[1]
    await project.redo()
    assert project.files() == states[2]
    assert await project.redo() == NOTHING_TO_REDO
    assert (await project.undo(5)).startswith("The file changes of 2 turns are taken back")
    assert project.files() == states[0]
    await project.redo(2)
    assert project.files() == states[2]


@pytest.mark.parametrize("data", [b"one\ntwo", b"\xef\xbb\xbfone\r\ntwo\r\n", b"", b"\0\xff\r\n"])
async def test_what_was_deleted_and_moved_comes_back_as_it_was(
    project: Project, data: bytes
) -> None:
    (project.root / "a.py").write_bytes(data)
    (project.root / "a.py").chmod(0o755)
    (project.root / "sub/deep").mkdir(parents=True)
    (project.root / "sub/deep/x").write_bytes(data)
    (project.root / "sub/link").symlink_to("deep/x")
    before = project.files()
    project.begin()
    await project.tool("delete", path="a.py")
    await project.tool("move", path="sub", to="other/sub")
    await project.tool("move", path="b.py", to="c.py")
    after = project.files()
    await project.undo()
    assert project.files() == before
    assert os.access(project.root / "a.py", os.X_OK)
    await project.redo()
    assert project.files() == after


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfone\r\ntwo\r\n", b"one\rtwo\r\nthree", b"one"])
async def test_line_ends_and_marks_survive(project: Project, data: bytes) -> None:
    (project.root / "a.py").write_bytes(data)
    project.begin()
    await project.tool(
        "edit_file", path="a.py", edits=[{"old_text": "one", "new_text": "eins\neins"}]
    )
    after = project.files()
    await project.undo()
    assert (project.root / "a.py").read_bytes() == data
    await project.redo()
    assert project.files() == after


async def test_a_file_changed_since_is_left_and_told_once(project: Project) -> None:
    project.begin("first")
    await project.edit("b.py", "cee\n")
    project.begin("second")
    await project.edit("a.py", "two\n")
    (project.root / "a.py").write_bytes(b"mine\n")
    assert await project.undo() == (
        "No file was changed.\n\nNot taken back:\n\n"
        "- a.py was changed since then and was left as it is"
    )
    # What is in the way for good does not keep from going on.
    assert "`b.py` is as it was before" in await project.undo()
    assert project.files() == {"a.py": b"mine\n", "b.py": b"bee\n"}
    assert await project.undo() == (
        "There are no further file changes to take back in this session; what was changed since "
        "then stays as it is."
    )
    (project.root / "a.py").write_bytes(b"two\n")
    assert "`a.py` is as it was before" in await project.undo()


async def test_a_change_of_somebody_else_in_between_ends_the_way_back(project: Project) -> None:
    project.begin()
    await project.edit("a.py", "two\n")
    (project.root / "a.py").write_bytes(b"mine\n")
    await project.edit("a.py", "mine too\n")
    assert "in between; older changes were left" in await project.undo()
    assert (project.root / "a.py").read_bytes() == b"mine\n"
    await project.redo()
    assert (project.root / "a.py").read_bytes() == b"mine too\n"


async def test_what_is_gone_or_already_so(project: Project) -> None:
    project.begin()
    await project.edit("a.py", "two\n")
    (project.root / "a.py").unlink()
    assert "a.py is not there any more" in await project.undo()
    project.begin()
    await project.edit("b.py", "two\n")
    await project.edit("c.py", "sea\n")
    (project.root / "b.py").write_bytes(b"bee\n")
    (project.root / "c.py").unlink()
    answer = await project.undo()
    assert "`b.py` was so already" in answer
    assert "`c.py` was so already" in answer


async def test_what_a_turn_made_and_deleted_is_not_told(project: Project) -> None:
    project.begin("Make c")
    await project.edit("c.py", "sea\n")
    await project.workspace.delete(project.root / "c.py")
    await project.edit("a.py", "two\n")
    assert await project.undo() == (
        "The file changes of the turn “Make c” are taken back:\n\n- `a.py` is as it was before"
    )
    assert "c.py" not in await project.redo()
    project.begin("Only c")
    await project.edit("c.py", "sea\n")
    await project.workspace.delete(project.root / "c.py")
    assert "- `c.py` was so already" in await project.undo()


async def test_a_file_that_is_made_again_is_there_again(project: Project) -> None:
    project.begin("Make c")
    await project.edit("c.py", "sea\n")
    await project.undo()
    assert (await project.redo()).endswith("- `c.py` is there again")


async def test_redo_goes_as_far_as_newer_changes_allow(project: Project) -> None:
    project.begin("first")
    await project.edit("a.py", "two\n")
    await project.edit("b.py", "two\n")
    await project.undo()
    project.begin("second")
    await project.edit("a.py", "another\n")
    answer = await project.redo()
    assert "`b.py` is changed again" in answer
    assert "Not brought back:\n\n- a.py was changed since then" in answer
    assert project.files() == {"a.py": b"another\n", "b.py": b"two\n"}
    assert await project.redo() == NOTHING_TO_REDO
    await project.undo(2)
    assert project.files() == {"a.py": b"one\n", "b.py": b"bee\n"}


@pytest.mark.parametrize("happens", [True, False])
async def test_a_change_whose_end_was_not_recorded_counts_if_it_happened(
    project: Project, happens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.begin("first")
    await project.edit("a.py", "two\n")
    project.begin("killed")

    async def die(pending: object) -> None:
        raise KeyboardInterrupt

    inner = project.workspace.inner
    if happens:
        monkeypatch.setattr(project.workspace.recorder, "after_write", die)
    else:
        monkeypatch.setattr(inner, "write_text", lambda *args, **more: die(None))
    with pytest.raises(KeyboardInterrupt):
        await project.edit("a.py", "three\n")
    monkeypatch.undo()
    project.restart()
    assert (await project.undo()).startswith(
        f"The file changes of the turn “{'Killed' if happens else 'First'}”"
    )
    assert (project.root / "a.py").read_bytes() == (b"two\n" if happens else b"one\n")


async def test_a_write_that_fails_is_no_change(project: Project) -> None:
    (project.root / "a.py").chmod(0o444)
    project.begin()
    with pytest.raises(Exception, match="read-only"):
        await project.edit("a.py", "two\n")
    assert project.changes() == []
    assert await project.undo() == NONE_LEFT


async def test_a_file_that_cannot_be_written_can_be_tried_again(project: Project) -> None:
    project.begin()
    await project.edit("a.py", "two\n")
    (project.root / "a.py").chmod(0o444)
    assert "- a.py is read-only" in await project.undo()
    (project.root / "a.py").chmod(0o600)
    assert "as it was before" in await project.undo()
    # The person's own chmod stays.
    assert (project.root / "a.py").stat().st_mode & 0o777 == 0o600


async def test_nothing_is_written_behind_a_link(project: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    project.begin()
    await project.edit("sub/a.py", "two\n")
    (project.root / "sub/a.py").rename(outside / "a.py")
    (project.root / "sub").rmdir()
    (project.root / "sub").symlink_to(outside)
    assert "symbolic link" in await project.undo()
    assert (outside / "a.py").read_bytes() == b"two\n"
    (project.root / "sub").unlink()
    (project.root / "sub").mkdir()
    (project.root / "sub/a.py").symlink_to(outside / "a.py")
    assert "sub/a.py was changed since then" in await project.undo()
    assert (outside / "a.py").read_bytes() == b"two\n"


async def test_a_lost_content_is_told(project: Project) -> None:
    project.begin()
    await project.edit("a.py", "two\n")
    digest = project.changes()[0].before.digest
    (project.kept / "contents" / digest[:2] / digest[2:]).write_bytes(b"spoilt")
    assert "- the copy of a.py that was kept is not there any more" in await project.undo()
    assert (project.root / "a.py").read_bytes() == b"two\n"


async def test_no_place_for_checkpoints_keeps_no_edit_from_being_made(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    project.kept = tmp_path / "file/kept"
    project.restart()
    project.begin()
    await project.edit("a.py", "two\n")
    assert (project.root / "a.py").read_bytes() == b"two\n"
    assert "cannot be used: not a directory" in await project.undo()


async def test_many_files_are_set_back_together(project: Project) -> None:
    project.begin()
    for number in range(MOST_SHOWN + 3):
        await project.edit(f"n{number}.txt", "x")
    shown: list[str] = []

    async def perform(steps: object, picture: object, work: object) -> str:
        shown.append(picture.title)  # type: ignore[attr-defined]
        return await work()  # type: ignore[operator, no-any-return]

    answer = (await move_turns(project.workspace, "undo", 1, perform)).text
    assert len(shown) == MOST_SHOWN + 1
    assert shown[-1] == "Set back 3 more paths"
    assert answer.endswith("- and 3 more")
    assert project.files() == {"a.py": b"one\n", "b.py": b"bee\n"}


async def test_the_model_is_told_once(project: Project) -> None:
    journal = project.workspace.recorder.journal
    project.begin()
    await project.edit("a.py", "two\n")
    await project.undo()
    next_prompt = prompt("go on")
    told = await with_note(next_prompt, journal, project.root)
    assert told.text == (
        "(The user took your changes to a.py back with /undo; read before you change these files "
        "again.)\n\ngo on"
    )
    assert told.blocks == next_prompt.blocks == (PromptText(text="go on"),)
    assert await with_note(next_prompt, journal, project.root) is next_prompt
    await project.redo()
    told = await with_note(next_prompt, journal, project.root)
    assert told.text.startswith("(The user brought your changes to a.py back with /redo.)")
    await project.undo()
    await project.redo()
    assert await with_note(next_prompt, journal, project.root) is next_prompt


async def test_the_model_is_told_of_what_commands_wrote(project: Project) -> None:
    journal = project.workspace.recorder.journal
    project.begin("/init", command=True)
    await project.edit("AGENTS.md", "# Guide\n")
    note = await with_note(prompt("x"), journal, project.root)
    assert note.text.startswith("(The user had AGENTS.md written by a command of the IDE.)")
    project.begin("/init", command=True)
    await project.edit("GUIDE.md", "# Guide\n")
    await project.undo()
    next_prompt = prompt("x")
    assert await with_note(next_prompt, journal, project.root) is next_prompt


# No Python, so that no checker runs after each edit.
NAMES = st.sampled_from(["a.txt", "b.txt", "d/c.txt"])
TEXTS = st.sampled_from(["", "one\n", "two\n", "three\n"])
TURNS = st.lists(st.lists(st.tuples(NAMES, TEXTS), max_size=4), max_size=5)


@given(turns=TURNS, most=st.integers(1, 6))
@settings(deadline=None, max_examples=30)
def test_taking_turns_back_leads_to_the_state_before_them(
    tmp_path_factory: pytest.TempPathFactory, turns: Sequence[Sequence[tuple[str, str]]], most: int
) -> None:
    async def main() -> None:
        folder = tmp_path_factory.mktemp("undo")
        project = Project(folder / "project", folder / "kept")
        (project.root / "a.txt").write_bytes(b"one\n")
        states = [project.files()]
        for edits in turns:
            project.begin()
            before = len(project.changes())
            for name, text in edits:
                await project.edit(name, text)
            if len(project.changes()) > before:
                states.append(project.files())
        assert "Not taken back" not in await project.undo(most)
        assert project.files() == states[max(len(states) - 1 - most, 0)]
        await project.redo(most)
        assert project.files() == states[-1]

    anyio.run(main)


async def test_trouble_of_one_file_is_a_workspace_error(project: Project) -> None:
    project.begin()
    await project.edit("a.py", "two\n")
    with pytest.raises(WorkspaceError):
        await project.workspace.move(project.root / "nothing", project.root / "x")
    assert {change.path.name for change in project.changes()} == {"a.py"}


async def test_a_folder_that_stayed_for_what_a_person_put_in_is_no_turn_of_its_own(
    project: Project,
) -> None:
    project.begin()
    await project.edit("d/c.txt", "sea")
    project.begin()
    await project.edit("a.py", "two\n")
    (project.root / "d/c.txt").write_text("mine")
    assert "Not taken back" in await project.undo(2)
    assert (project.root / "a.py").read_text() == "one\n"
    await project.redo()
    assert (project.root / "a.py").read_text() == "two\n"
    assert (project.root / "d/c.txt").read_text() == "mine"
