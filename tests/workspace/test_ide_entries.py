"""What an IDE offers nothing for, done on disk with what the IDE shows in mind."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.workspace import background
from punie.workspace.ide import IdeWorkspace
from punie.workspace.local import LocalWorkspace
from tests.tools.conftest import Bench
from tests.workspace.editing import LocalTerminals, MemoryEditor

pytestmark = pytest.mark.anyio


@pytest.fixture
def editor() -> MemoryEditor:
    return MemoryEditor()


@pytest.fixture
def terminals() -> LocalTerminals:
    return LocalTerminals()


@pytest.fixture
async def tools(
    tmp_path: Path, editor: MemoryEditor, terminals: LocalTerminals, anyio_backend: str
) -> AsyncIterator[Bench]:
    workspace = IdeWorkspace(
        LocalWorkspace([tmp_path]), reader=editor, writer=editor, terminals=terminals
    )
    yield Bench(tmp_path, ToolContext(workspace, ReadLedger()))
    await workspace.aclose()


async def test_what_has_unsaved_changes_neither_moves_nor_goes(
    tools: Bench, editor: MemoryEditor
) -> None:
    path = tools.file("src/a.py", "one\n")
    await tools.text("read_file", path="src/a.py")
    editor.buffers[path] = "two\n"
    await tools.text("read_file", path="src/a.py")
    unsaved = (
        "error: src/a.py has unsaved changes in the IDE; ask the user to save it, then try again"
    )
    assert await tools.text("move", path="src/a.py", to="b.py") == unsaved
    assert await tools.text("move", path="src", to="lib") == unsaved
    assert await tools.text("delete", path="src/a.py") == unsaved
    patch = "*** Begin Patch\n*** Delete File: src/a.py\n*** End Patch"
    assert await tools.text("apply_patch", patch=patch) == f"{unsaved}; no file was changed"
    editor.save(path)
    assert await tools.text("move", path="src", to="lib") == "moved src to lib"
    assert (tools.root / "lib/a.py").read_text() == "two\n"


async def test_a_patch_is_applied_to_what_the_ide_shows(tools: Bench, editor: MemoryEditor) -> None:
    path = tools.file("a.py", "one\r\ntwo\r\n")
    editor.buffers[path] = "one\ntwo\nthree\n"
    patch = "*** Begin Patch\n*** Update File: a.py\n@@\n two\n-three\n+3\n*** End Patch"
    assert await tools.text("apply_patch", patch=patch) == "patched 1 file:\na.py +1 -1"
    assert path.read_bytes() == b"one\r\ntwo\r\n3\r\n"


async def test_a_background_command_runs_on_this_machine(
    tools: Bench, terminals: LocalTerminals
) -> None:
    text = await tools.text("run_command", command="echo up; sleep 600", background=True)
    assert text == "bg1 runs\nup"
    assert terminals.calls == []
    await tools.text("command_output", id="bg1", stop=True)


async def test_files_that_a_background_command_changes_are_read_as_they_are(
    tools: Bench, editor: MemoryEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The IDE goes on showing what was there before, and that is no unsaved change."""
    monkeypatch.setattr(background, "SETTLE_SECONDS", 0.2)
    path = tools.file("a.py", "one\n")
    await tools.text("read_file", path="a.py")
    await tools.text(
        "run_command",
        command="while ! [ -e go ]; do sleep 0.02; done; echo two > a.py; echo done",
        background=True,
    )
    editor.buffers[path] = "one\n"
    (tools.root / "go").touch()
    with anyio.fail_after(20):
        while "ended" not in await tools.text("command_output", id="bg1"):
            await anyio.sleep(0.02)
    assert await tools.text("read_file", path="a.py") == "1:two"


async def test_a_part_of_a_huge_file_comes_from_disk(tools: Bench) -> None:
    tools.file("huge", "x\n" * 6_000_000)
    assert await tools.text("read_file", path="huge", start_line=5_999_999) == (
        "5999999:x\n6000000:x"
    )
