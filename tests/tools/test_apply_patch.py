"""apply_patch on files: all of a patch or nothing, shown before, nothing lost."""

import stat

import pytest

from punie.agent.permissions.judging import FilesCall, Place, describe_call
from punie.tools.apply_patch import APPLY_PATCH, ApplyPatchArguments
from punie.tools.base import ToolError
from punie.tools.presentation import DiffContent, Location
from punie.workspace.base import TextFile, WorkspaceError
from punie.workspace.local import LocalWorkspace
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


def _patch(*rows: str) -> str:
    return "\n".join(["*** Begin Patch", *rows, "*** End Patch"])


ALL_KINDS = _patch(
    "*** Add File: new/a.py",
    "+1",
    "*** Update File: b.py",
    "@@",
    "-two",
    "+2",
    "*** Update File: c.py",
    "*** Move to: sub/c.py",
    "@@",
    "-three",
    "+3",
    "*** Delete File: d.py",
)


def _files(bench: Bench) -> dict[str, str]:
    return {
        path.relative_to(bench.root).as_posix(): path.read_text()
        for path in sorted(bench.root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def four(bench: Bench) -> Bench:
    for name, text in {"b.py": "two\n", "c.py": "three\n", "d.py": "four\n"}.items():
        bench.file(name, text)
    return bench


async def test_several_files(four: Bench) -> None:
    (four.root / "c.py").chmod(0o755)
    shown = await four.present("apply_patch", patch=ALL_KINDS)
    assert _files(four) == {"b.py": "two\n", "c.py": "three\n", "d.py": "four\n"}
    root = four.root
    assert shown.title == "Patch new/a.py, b.py, sub/c.py and 1 more"
    assert shown.kind == "edit"
    assert shown.content == (
        DiffContent(path=root / "new/a.py", old_text=None, new_text="1\n"),
        DiffContent(path=root / "b.py", old_text="two\n", new_text="2\n"),
        DiffContent(path=root / "c.py", old_text="three\n", new_text=None),
        DiffContent(path=root / "sub/c.py", old_text=None, new_text="3\n"),
        DiffContent(path=root / "d.py", old_text="four\n", new_text=None),
    )
    assert shown.locations[1] == Location(path=root / "b.py", line=1)
    assert await four.text("apply_patch", patch=ALL_KINDS) == (
        "patched 4 files:\nnew/a.py created, 1 line\nb.py +1 -1\nc.py moved to sub/c.py +1 -1\n"
        "d.py deleted"
    )
    assert _files(four) == {"b.py": "2\n", "new/a.py": "1\n", "sub/c.py": "3\n"}
    assert stat.S_IMODE((root / "sub/c.py").stat().st_mode) == 0o755


async def test_nothing_is_written_if_one_hunk_fails(four: Bench) -> None:
    before = _files(four)
    patch = ALL_KINDS.replace("-three", "-thre")
    text = await four.text("apply_patch", patch=patch)
    assert text.startswith("error: the hunk of c.py does not apply; its old lines are not there:\n")
    assert text.endswith("the closest is line 1:\n1:three")
    assert _files(four) == before


async def test_what_was_written_is_taken_back_if_a_later_file_fails(
    four: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails in the middle of it, after everything looked well."""
    before = _files(four)
    remove = LocalWorkspace.remove

    async def failing(workspace: LocalWorkspace, file: TextFile) -> None:
        if file.path.name == "d.py":
            raise WorkspaceError("d.py could not be deleted: disk on fire")
        await remove(workspace, file)

    monkeypatch.setattr(LocalWorkspace, "remove", failing)
    assert await four.text("apply_patch", patch=ALL_KINDS) == (
        "error: d.py could not be deleted: disk on fire; no file was changed"
    )
    assert _files(four) == before


async def test_a_file_that_cannot_be_written(four: Bench) -> None:
    (four.root / "c.py").chmod(0o444)
    before = _files(four)
    text = await four.text("apply_patch", patch=ALL_KINDS)
    assert text == "error: sub/c.py is read-only; no file was changed"
    assert _files(four) == before


async def test_line_ends_and_marks_are_kept(bench: Bench) -> None:
    path = bench.file("a", "\ufeffone\r\ntwo\r\n")
    await bench.result("apply_patch", patch=_patch("*** Update File: a", "@@", "-one", "+1"))
    assert path.read_bytes() == "\ufeff1\r\ntwo\r\n".encode()
    mixed = bench.file("m", "one\r\ntwo\nthree\r\n")
    await bench.result("apply_patch", patch=_patch("*** Update File: m", "@@", " one", "-two"))
    assert mixed.read_bytes() == b"one\r\nthree\r\n"


async def test_stale_files_are_refused(bench: Bench) -> None:
    path = bench.file("a", "one\n")
    patch = _patch("*** Update File: a", "@@", "-one", "+1")
    await bench.text("read_file", path="a")
    path.write_text("one\nmore\n")
    assert await bench.text("apply_patch", patch=patch) == (
        "error: a changed since it was read; read it again first"
    )
    await bench.text("read_file", path="a")
    assert await bench.text("apply_patch", patch=patch) == "patched 1 file:\na +1 -1"
    # What the patch wrote is known, where it moved to as well.
    move = _patch("*** Update File: a", "*** Move to: b", "@@", "-1", "+2")
    assert await bench.text("apply_patch", patch=move) == ("patched 1 file:\na moved to b +1 -1")
    edits = [{"old_text": "2", "new_text": "3"}]
    assert await bench.text("edit_file", path="b", edits=edits) == "edited b: 1 replacement"


async def test_one_file_may_come_twice(bench: Bench) -> None:
    path = bench.file("a", "one\ntwo\n")
    patch = _patch(
        "*** Update File: a", "@@", "-one", "+1", "*** Update File: a", "@@", "-two", "+2"
    )
    assert await bench.text("apply_patch", patch=patch) == "patched 1 file:\na +2 -2"
    assert path.read_text() == "1\n2\n"


async def test_a_diff_of_git(bench: Bench) -> None:
    path = bench.file("src/a.py", "one\ntwo\n")
    patch = (
        "diff --git a/src/a.py b/src/a.py\n--- a/src/a.py\n+++ b/src/a.py\n@@ -9 +9 @@\n-two\n+2\n"
    )
    assert await bench.text("apply_patch", patch=patch) == "patched 1 file:\nsrc/a.py +1 -1"
    assert path.read_text() == "one\n2\n"


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["*** Add File: b.py", "+x"], "b.py is there already; update it instead"),
        (["*** Update File: x.py", "@@", "-a", "+b"], "there is no file x.py; did you mean "),
        (["*** Delete File: sub"], "sub is a folder, not a file"),
        (["*** Update File: b.py", "*** Move to: c.py"], "c.py is there already; nothing is "),
        (["*** Update File: link", "*** Move to: e"], "link is a symbolic link"),
        (["*** Delete File: link"], "link is a symbolic link"),
        (
            ["*** Delete File: b.py", "*** Add File: b.py", "+x"],
            "b.py is deleted or moved and made",
        ),
        (
            ["*** Delete File: b.py", "*** Update File: b.py", "@@", "-a"],
            "b.py is deleted or moved",
        ),
        (["*** Add File: e", "+x", "*** Add File: e", "+y"], "e is written twice by the patch"),
        (["*** Update File: b.py", "@@", "-two", "+tw\0"], "NUL character"),
        (["*** Add File: e/"], "e/ ends in a slash"),
        (["*** Update File: b.py", "@@", "-two", "+two"], "the patch leaves all files as they are"),
        (["*** Update File: bin", "@@", "-a", "+b"], "bin is a binary file"),
    ],
)
async def test_what_is_refused(four: Bench, rows: list[str], sentence: str) -> None:
    (four.root / "sub").mkdir()
    (four.root / "link").symlink_to(four.root / "b.py")
    four.file("bin", "a\0b")
    before = _files(four)
    with pytest.raises(ToolError, match=sentence):
        await four.present("apply_patch", patch=_patch(*rows))
    assert _files(four) == before


async def test_rules_hear_of_every_path(four: Bench) -> None:
    place = Place(four.context.workspace)
    call = describe_call(APPLY_PATCH, ApplyPatchArguments(patch=ALL_KINDS), place)
    assert call == FilesCall("apply_patch", ("new/a.py", "b.py", "c.py", "sub/c.py", "d.py"))
    outside = ApplyPatchArguments(patch=_patch("*** Delete File: ../x"))
    assert describe_call(APPLY_PATCH, outside, place) == FilesCall("apply_patch", (None,))
    rubbish = ApplyPatchArguments(patch="rubbish")
    assert describe_call(APPLY_PATCH, rubbish, place) == FilesCall("apply_patch", ())
