"""With an IDE the text of its editors is what goes back and comes again."""

from pathlib import Path

import pytest

from punie.agent.undo import just_do, move_turns
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.ide import IdeWorkspace
from punie.workspace.local import LocalWorkspace
from tests.workspace.editing import MemoryEditor

pytestmark = pytest.mark.anyio


def opened(tmp_path: Path, editor: MemoryEditor) -> tuple[CheckpointedWorkspace, Path]:
    root = tmp_path / "project"
    root.mkdir()
    ide = IdeWorkspace(LocalWorkspace([root]), reader=editor, writer=editor)
    workspace = CheckpointedWorkspace(ide, Recorder(tmp_path / "kept/session"))
    workspace.recorder.begin_turn("t", "do it")
    path = root / "a.py"
    path.write_bytes(b"saved\r\nlines\r\n")
    return workspace, path


async def test_text_that_was_never_saved_comes_back(tmp_path: Path) -> None:
    editor = MemoryEditor()
    workspace, path = opened(tmp_path, editor)
    editor.buffers[path] = "unsaved\nlines\n"
    file = await workspace.read_text(path)
    await workspace.write_text(path, "edited\nlines\n", like=file)
    assert path.read_bytes() == b"edited\r\nlines\r\n"
    editor.calls.clear()
    await move_turns(workspace, "undo", 1, just_do)
    assert path.read_bytes() == b"unsaved\r\nlines\r\n"
    assert "write a.py" in editor.calls
    await move_turns(workspace, "redo", 1, just_do)
    assert path.read_bytes() == b"edited\r\nlines\r\n"


async def test_an_editor_that_saves_later_or_in_its_own_way(tmp_path: Path) -> None:
    editor = MemoryEditor(saves=False)
    workspace, path = opened(tmp_path, editor)
    file = await workspace.read_text(path)
    await workspace.write_text(path, "edited\nlines\n", like=file)
    assert path.read_bytes() == b"saved\r\nlines\r\n"
    await move_turns(workspace, "undo", 1, just_do)
    assert editor.buffers[path] == "saved\nlines\n"
    editor.save(path)
    editor.saves = editor.formats = True
    workspace.recorder.begin_turn("u", "again")
    file = await workspace.read_text(path)
    await workspace.write_text(path, "edited\n\n\n", like=file)
    assert path.read_bytes() == b"edited\r\n"
    await move_turns(workspace, "undo", 1, just_do)
    assert path.read_bytes() == b"saved\r\nlines\r\n"


async def test_what_is_typed_after_an_edit_is_left_alone(tmp_path: Path) -> None:
    editor = MemoryEditor()
    workspace, path = opened(tmp_path, editor)
    await workspace.write_text(path, "edited\n", like=await workspace.read_text(path))
    editor.buffers[path] = "edited\ntyped\n"
    moved = await move_turns(workspace, "undo", 1, just_do)
    assert "a.py was changed since then and was left as it is" in moved.text
    assert editor.buffers[path] == "edited\ntyped\n"
