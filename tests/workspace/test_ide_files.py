"""Files through an IDE: what is read, what is written, and what happens when the two disagree."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.workspace.base import (
    CommandRequest,
    MissingFileError,
    NotTextError,
    OutsideWorkspaceError,
    WorkspaceError,
)
from punie.workspace.editor import EditorError, EditorRefusedError
from punie.workspace.ide import IdeWorkspace
from punie.workspace.ide_files import NOT_SAVED, SAVED_DIFFERENTLY, UNSAVED
from punie.workspace.local import LocalWorkspace
from punie.workspace.text_files import MAX_TEXT_BYTES
from tests.tools.conftest import Bench
from tests.workspace.editing import MemoryEditor

pytestmark = pytest.mark.anyio


@pytest.fixture
def editor() -> MemoryEditor:
    return MemoryEditor()


@pytest.fixture
async def workspace(
    tmp_path: Path, editor: MemoryEditor, anyio_backend: str
) -> AsyncIterator[IdeWorkspace]:
    workspace = IdeWorkspace(LocalWorkspace([tmp_path]), reader=editor, writer=editor)
    yield workspace
    await workspace.aclose()


@pytest.fixture
def tools(tmp_path: Path, workspace: IdeWorkspace) -> Bench:
    return Bench(tmp_path, ToolContext(workspace, ReadLedger()))


def put(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


async def run(workspace: IdeWorkspace, command: str) -> None:
    await workspace.run(CommandRequest(command, workspace.roots[0], 30.0))


# Reading


async def test_what_is_saved_is_read_as_from_disk(workspace: IdeWorkspace, tmp_path: Path) -> None:
    path = put(tmp_path / "a", "one\n")
    assert await workspace.read_text(path) == await LocalWorkspace([tmp_path]).read_text(path)


async def test_unsaved_text_is_what_is_read(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = put(tmp_path / "a", "one\n")
    editor.buffers[path] = "two\n"
    file = await workspace.read_text(path)
    assert file.text == "two\n"
    assert file.note == UNSAVED
    # Saving it is no change of what was read.
    editor.save(path)
    saved = await workspace.read_text(path)
    assert (saved.text, saved.digest, saved.note) == ("two\n", file.digest, "")


LINE_ENDS = {
    "unix": (b"one\ntwo\n", "\n", False),
    "dos": (b"one\r\ntwo\r\n", "\r\n", False),
    "mark": (b"\xef\xbb\xbfone\r\ntwo\r\n", "\r\n", True),
    "mixed": (b"one\r\ntwo\n", "\n", False),
    "old mac": (b"one\rtwo\r", "\n", False),
}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("kind", LINE_ENDS)
async def test_line_ends_and_mark_come_from_disk(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path, kind: str, exact: bool
) -> None:
    data, newline, bom = LINE_ENDS[kind]
    editor.exact = exact
    path = put(tmp_path / "a", data)
    file = await workspace.read_text(path)
    assert file == await LocalWorkspace([tmp_path]).read_text(path)
    assert (file.newline, file.bom) == (newline, bom)
    # An edit changes no line end that the IDE can keep.
    written = await workspace.write_text(path, file.text.replace("one", "1"), like=file)
    if exact or kind in ("unix", "dos", "mark"):
        assert path.read_bytes() == data.replace(b"one", b"1")
    assert written == await workspace.read_text(path)
    assert not written.note


@pytest.mark.parametrize("exact", [False, True])
async def test_unsaved_text_keeps_the_line_ends_of_the_disk(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path, exact: bool
) -> None:
    editor.exact = exact
    path = put(tmp_path / "a", b"\xef\xbb\xbfone\r\ntwo\r\n")
    editor.buffers[path] = "\ufeff1\r\ntwo\r\n" if exact else "1\ntwo\n"
    file = await workspace.read_text(path)
    assert (file.text, file.newline, file.bom) == ("1\ntwo\n", "\r\n", True)
    await workspace.write_text(path, "1\n2\n", like=file)
    assert path.read_bytes() == b"\xef\xbb\xbf1\r\n2\r\n"


async def test_what_cannot_be_read_is_said_as_ever(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    put(tmp_path / "binary", b"a\0b")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_TEXT_BYTES + 1)
    with pytest.raises(MissingFileError, match="there is no file gone"):
        await workspace.read_text(tmp_path / "gone")
    with pytest.raises(WorkspaceError, match="is a folder"):
        await workspace.read_text(tmp_path)
    with pytest.raises(NotTextError, match="NUL byte"):
        await workspace.read_text(tmp_path / "binary")
    with pytest.raises(WorkspaceError, match="more than the"):
        await workspace.read_text(tmp_path / "large")
    assert editor.calls == []


async def test_unsaved_text_can_be_too_large(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = put(tmp_path / "a", "one\n")
    editor.buffers[path] = "x" * (MAX_TEXT_BYTES + 1)
    with pytest.raises(WorkspaceError, match="more than the"):
        await workspace.read_text(path)


@pytest.mark.parametrize("trouble", ["error", "nul"])
async def test_the_disk_is_read_when_the_ide_fails(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path, trouble: str
) -> None:
    path = put(tmp_path / "a", "one\n")
    editor.buffers[path] = "a\0"
    if trouble == "error":
        editor.read_error = EditorError("it is busy")
    assert (await workspace.read_text(path)).text == "one\n"


async def test_a_refusal_of_the_ide_holds(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = put(tmp_path / "a", "one\n")
    editor.read_error = EditorRefusedError("permission denied")
    with pytest.raises(WorkspaceError, match="does not allow a to be read: permission denied"):
        await workspace.read_text(path)
    editor.read_error = None
    editor.write_error = EditorRefusedError("permission denied")
    with pytest.raises(WorkspaceError, match="does not allow a to be written"):
        await workspace.write_text(path, "two\n")
    assert path.read_text() == "one\n"


async def test_the_ide_never_hears_of_a_path_outside(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = put(tmp_path / "a", "one\n")
    resolved = workspace.resolve("a")
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(OutsideWorkspaceError):
        await workspace.read_text(resolved)
    with pytest.raises(OutsideWorkspaceError):
        await workspace.write_text(resolved, "x")
    assert editor.calls == []


# Writing


async def test_a_change_goes_through_the_ide(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = put(tmp_path / "a", "one\n")
    file = await workspace.read_text(path)
    written = await workspace.write_text(path, "two\n", like=file)
    assert "write a" in editor.calls
    assert (written.text, written.note) == ("two\n", "")
    assert path.read_text() == "two\n"


async def test_new_files_and_folders(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "down" / "a"
    written = await workspace.write_text(path, "one\n")
    assert editor.calls == ["write a"]
    assert path.read_text() == "one\n"
    assert written == await workspace.read_text(path)


async def test_what_must_stay_is_not_handed_to_the_ide(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = put(tmp_path / "a", "one\n")
    path.chmod(0o444)
    with pytest.raises(WorkspaceError, match="a is read-only"):
        await workspace.write_text(path, "two\n")
    with pytest.raises(WorkspaceError, match="is a folder"):
        await workspace.write_text(tmp_path, "two\n")
    with pytest.raises(WorkspaceError, match="a is a file, not a folder"):
        await workspace.write_text(path / "b", "two\n")
    with pytest.raises(NotTextError, match="NUL"):
        await workspace.write_text(tmp_path / "b", "\0")
    assert not [call for call in editor.calls if call.startswith("write")]


async def test_a_change_that_the_ide_does_not_take_goes_to_disk_and_is_told(
    tools: Bench, editor: MemoryEditor
) -> None:
    path = tools.file("a", "one\n")
    await tools.text("read_file", path="a")
    editor.write_error = EditorError("it is indexing")
    text = await tools.text("edit_file", path="a", edits=[{"old_text": "one", "new_text": "two"}])
    assert text == (
        "edited a: 1 replacement\n"
        "(note: written to disk; the IDE could not be told, because it is indexing)"
    )
    assert path.read_text() == "two\n"


async def test_until_the_ide_notices_the_disk_is_read(
    tools: Bench, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = tools.file("a", "one\n")
    editor.buffers[path] = "one\n"
    await tools.text("read_file", path="a")
    editor.write_error = EditorError("it is indexing")
    await tools.text("write_file", path="a", content="two\n")
    assert await tools.text("read_file", path="a") == "1:two"
    del editor.buffers[path]
    assert await tools.text("read_file", path="a") == "1:two"
    # From here on what the IDE shows is new.
    editor.buffers[path] = "one\n"
    assert await tools.text("read_file", path="a") == f"1:one\n(note: {UNSAVED})"


async def test_unsaved_changes_are_not_overrun_past_the_ide(
    tools: Bench, editor: MemoryEditor
) -> None:
    path = tools.file("a", "one\n")
    editor.buffers[path] = "one and mine\n"
    await tools.text("read_file", path="a")
    editor.write_error = EditorError("it is indexing")
    text = await tools.text("edit_file", path="a", edits=[{"old_text": "one", "new_text": "two"}])
    assert text == (
        "error: a has unsaved changes in the IDE, which did not take the new text "
        "(it is indexing); ask the user to save it, then try again"
    )
    assert path.read_text() == "one\n"


async def test_an_edit_works_on_the_unsaved_text(tools: Bench, editor: MemoryEditor) -> None:
    path = tools.file("a", "one\n")
    editor.buffers[path] = "one\nmine\n"
    assert await tools.text("read_file", path="a") == f"1:one\n2:mine\n(note: {UNSAVED})"
    text = await tools.text("edit_file", path="a", edits=[{"old_text": "mine", "new_text": "ours"}])
    assert text == "edited a: 1 replacement"
    assert path.read_text() == "one\nours\n"


async def test_typing_after_the_read_makes_an_edit_stale(
    tools: Bench, editor: MemoryEditor
) -> None:
    path = tools.file("a", "one\n")
    await tools.text("read_file", path="a")
    editor.buffers[path] = "one\nmore\n"
    edit = {"path": "a", "edits": [{"old_text": "one", "new_text": "two"}]}
    stale = "error: a changed since it was read; read it again first"
    assert await tools.text("edit_file", **edit) == stale
    assert await tools.text("write_file", path="a", content="x") == stale
    await tools.text("read_file", path="a")
    assert await tools.text("edit_file", **edit) == "edited a: 1 replacement"
    assert path.read_text() == "two\nmore\n"


async def test_typing_between_the_look_and_the_write_is_noticed(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = put(tmp_path / "a", "one\n")
    file = await workspace.read_text(path)
    editor.buffers[path] = "one\nmore\n"
    with pytest.raises(WorkspaceError, match="a changed just now; read it again first"):
        await workspace.write_text(path, "two\n", like=file)
    assert editor.buffers[path] == "one\nmore\n"


async def test_an_ide_that_does_not_save_is_left_alone(tools: Bench, editor: MemoryEditor) -> None:
    path = tools.file("a", "one\n")
    editor.saves = False
    await tools.text("read_file", path="a")
    edit = {"path": "a", "edits": [{"old_text": "one", "new_text": "two"}]}
    assert await tools.text("edit_file", **edit) == (
        f"edited a: 1 replacement\n(note: {NOT_SAVED})"
    )
    assert path.read_text() == "one\n"
    # What it has not saved is the truth, also for the next edit.
    again = {"path": "a", "edits": [{"old_text": "two", "new_text": "three"}]}
    assert (await tools.text("edit_file", **again)).startswith("edited a: 1 replacement")
    assert editor.buffers[path] == "three\n"
    new = await tools.text("write_file", path="new", content="x\n")
    assert new == f"created new: 1 line\n(note: {NOT_SAVED})"
    assert await tools.text("read_file", path="new") == f"1:x\n(note: {UNSAVED})"
    assert not (tools.root / "new").exists()


async def test_formatting_on_save_asks_for_another_look(tools: Bench, editor: MemoryEditor) -> None:
    tools.file("a", "one\n")
    editor.formats = True
    await tools.text("read_file", path="a")
    text = await tools.text("write_file", path="a", content="two  \n\n\n")
    assert text.endswith(f"(note: {SAVED_DIFFERENTLY})")
    edit = {"path": "a", "edits": [{"old_text": "two", "new_text": "three"}]}
    assert "read it again first" in await tools.text("edit_file", **edit)
    assert await tools.text("read_file", path="a") == "1:two"
    assert await tools.text("edit_file", **edit) == "edited a: 1 replacement"


async def test_a_file_is_removed_as_it_was_read_or_not_at_all(
    workspace: IdeWorkspace, editor: MemoryEditor, tmp_path: Path
) -> None:
    path = put(tmp_path / "a", "one\n")
    file = await workspace.read_text(path)
    editor.buffers[path] = "one\nmine\n"
    with pytest.raises(WorkspaceError, match="a changed just now"):
        await workspace.remove(file)
    with pytest.raises(WorkspaceError, match="a has unsaved changes in the IDE"):
        await workspace.remove(await workspace.read_text(path))
    assert path.exists()
    del editor.buffers[path]
    await workspace.remove(file)
    assert not path.exists()
    with pytest.raises(MissingFileError):
        await workspace.remove(file)


# What an IDE offers in part


async def test_only_reading(tmp_path: Path, editor: MemoryEditor) -> None:
    workspace = IdeWorkspace(LocalWorkspace([tmp_path]), reader=editor)
    path = put(tmp_path / "a", "one\n")
    editor.buffers[path] = "one\n"
    file = await workspace.read_text(path)
    written = await workspace.write_text(path, "two\n", like=file)
    assert written.note == ""
    assert path.read_text() == "two\n"
    assert (await workspace.read_text(path)).text == "two\n"
    del editor.buffers[path]
    await workspace.read_text(path)
    editor.buffers[path] = "mine\n"
    file = await workspace.read_text(path)
    with pytest.raises(WorkspaceError, match="ask the user to save it"):
        await workspace.write_text(path, "three\n", like=file)


async def test_only_writing(tmp_path: Path) -> None:
    editor = MemoryEditor(exact=True)
    workspace = IdeWorkspace(LocalWorkspace([tmp_path]), writer=editor)
    path = put(tmp_path / "a", b"one\r\n")
    file = await workspace.read_text(path)
    await workspace.write_text(path, "two\n", like=file)
    assert editor.calls == ["write a"]
    assert path.read_bytes() == b"two\r\n"
    with pytest.raises(WorkspaceError, match="changed just now"):
        await workspace.write_text(path, "three\n", like=file)


# After a command


async def test_what_a_command_changed_is_read_from_disk_until_the_ide_notices(
    tools: Bench, workspace: IdeWorkspace, editor: MemoryEditor
) -> None:
    path = tools.file("a", "one\n")
    editor.buffers[path] = "one\n"  # as loaded, and never reloaded
    await tools.text("read_file", path="a")
    await run(workspace, "echo two > a")
    assert await tools.text("read_file", path="a") == "1:two"
    await run(workspace, "echo three > a")
    assert await tools.text("read_file", path="a") == "1:three"
    # Edits start from the disk, too, and get there.
    edit = {"path": "a", "edits": [{"old_text": "three", "new_text": "four"}]}
    assert await tools.text("edit_file", **edit) == "edited a: 1 replacement"
    assert path.read_text() == "four\n"
    # Now that both agree, an undo in the IDE counts.
    editor.buffers[path] = "one\n"
    assert await tools.text("read_file", path="a") == f"1:one\n(note: {UNSAVED})"


async def test_an_ide_that_notices_at_once_is_trusted_again(
    tools: Bench, workspace: IdeWorkspace, editor: MemoryEditor
) -> None:
    path = tools.file("a", "one\n")
    await tools.text("read_file", path="a")
    await run(workspace, "echo two > a")
    editor.buffers[path] = "one\n"
    assert await tools.text("read_file", path="a") == f"1:one\n(note: {UNSAVED})"


async def test_changes_on_both_sides_are_told_and_not_written_over(
    tools: Bench, workspace: IdeWorkspace, editor: MemoryEditor
) -> None:
    path = tools.file("a", "one\n")
    await tools.text("read_file", path="a")
    editor.buffers[path] = "one and mine\n"
    await run(workspace, "echo two > a")
    conflict = (
        "a has unsaved changes in the IDE and was changed on disk as well; ask the user to save or "
        "reload it in the IDE, then read it again"
    )
    assert await tools.text("read_file", path="a") == f"1:one and mine\n(note: {conflict})"
    edit = {"path": "a", "edits": [{"old_text": "one", "new_text": "1"}]}
    assert await tools.text("edit_file", **edit) == f"error: {conflict}"
    assert await tools.text("write_file", path="a", content="x") == f"error: {conflict}"
    file = await workspace.read_text(path)
    with pytest.raises(WorkspaceError, match="unsaved changes in the IDE"):
        await workspace.write_text(path, "x", like=file)
    assert (path.read_text(), editor.buffers[path]) == ("two\n", "one and mine\n")
    editor.save(path)
    assert await tools.text("read_file", path="a") == "1:one and mine"
    assert await tools.text("edit_file", **edit) == "edited a: 1 replacement"


async def test_a_cancelled_command_has_changed_files_too(
    tools: Bench, workspace: IdeWorkspace, editor: MemoryEditor
) -> None:
    path = tools.file("a", "one\n")
    editor.buffers[path] = "one\n"
    await tools.text("read_file", path="a")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, workspace, "echo two > a; touch done; sleep 60")
            while not (tools.root / "done").exists():
                await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
    assert await tools.text("read_file", path="a") == "1:two"


async def test_a_file_that_is_new_to_the_session_and_was_changed_by_a_command(
    tools: Bench, workspace: IdeWorkspace, editor: MemoryEditor
) -> None:
    path = tools.file("a", "one\n")
    editor.buffers[path] = "one\n"
    await run(workspace, "echo two > a")
    # Whether the IDE's text is old or new cannot be known.
    assert "was changed on disk as well" in await tools.text("read_file", path="a")
    del editor.buffers[path]
    assert await tools.text("read_file", path="a") == "1:two"


async def test_the_same_file_changed_by_somebody_else_is_no_conflict(
    tools: Bench, workspace: IdeWorkspace, editor: MemoryEditor
) -> None:
    path = tools.file("a", "one\n")
    await run(workspace, "true")
    await anyio.sleep(0.05)
    subprocess.run(["sh", "-c", f"echo two > {path}"], check=True)
    editor.buffers[path] = "mine\n"
    assert await tools.text("read_file", path="a") == f"1:mine\n(note: {UNSAVED})"


async def test_a_command_that_changes_nothing_asks_nothing(
    tools: Bench, workspace: IdeWorkspace, editor: MemoryEditor
) -> None:
    for name in ("a", "b"):
        tools.file(name, "one\n")
        await tools.text("read_file", path=name)
    before = len(editor.calls)
    await run(workspace, "cat a; touch a; echo new > c")
    assert len(editor.calls) == before
    await run(workspace, "echo two > a; rm b")
    assert editor.calls[before:] == ["read a"]
    assert await tools.text("read_file", path="b") == "error: there is no file b"


async def test_many_changed_files_are_asked_about_one_after_the_other(
    tools: Bench, workspace: IdeWorkspace, editor: MemoryEditor
) -> None:
    for number in range(30):
        tools.file(f"f{number}", "one\n")
        await tools.text("read_file", path=f"f{number}")
    before = len(editor.calls)
    await run(workspace, "for f in f*; do echo two > $f; done")
    assert len(editor.calls) - before == 20
    assert editor.busiest == 1
    editor.read_error = EditorError("it is gone")
    before = len(editor.calls)
    await run(workspace, "for f in f*; do echo three > $f; done")
    assert len(editor.calls) - before == 1


async def test_search_and_lists_see_the_disk(tools: Bench, editor: MemoryEditor) -> None:
    path = tools.file("a", "one\n")
    editor.buffers[path] = "two\n"
    assert await tools.text("search", pattern="one") == "a:1:one"
    assert await tools.text("list_dir") == "a"
