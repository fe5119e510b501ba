"""move and delete: what goes is shown, nothing is overwritten, links and full folders stay."""

import pytest

from punie.agent.permissions.judging import Forbidden, Place, describe_call, judge
from punie.agent.permissions.rules import EDITS, PathPattern, Rule
from punie.tools.move import MOVE, MoveArguments
from punie.tools.presentation import DiffContent, Location, Presentation, TextContent
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


async def test_moving_a_file(bench: Bench) -> None:
    path = bench.file("a.py", "one\r\n")
    path.chmod(0o755)
    result = await bench.result("move", path="a.py", to="sub/b.py")
    to = bench.root / "sub/b.py"
    assert result.text == "moved a.py to sub/b.py"
    assert result.presentation.title == "Move a.py to sub/b.py"
    assert result.presentation.kind == "move"
    assert result.presentation.locations == (Location(path=to),)
    assert result.presentation.content == (
        DiffContent(path=path, old_text="one\n", new_text=None, newline="\r\n"),
        DiffContent(path=to, old_text=None, new_text="one\n", newline="\r\n"),
    )
    assert to.read_bytes() == b"one\r\n"
    assert to.stat().st_mode & 0o777 == 0o755
    assert not path.exists()


async def test_moving_what_is_not_text(bench: Bench) -> None:
    bench.file("logo.png", "\x89PNG\0").write_bytes(b"\x89PNG\r\n\x1a\n\0\xff")
    result = await bench.result("move", path="logo.png", to="img/logo.png")
    assert result.text == "moved logo.png to img/logo.png"
    assert result.presentation.content == (
        TextContent(text="A file of 10 bytes that is not shown as text."),
    )
    assert (bench.root / "img/logo.png").read_bytes() == b"\x89PNG\r\n\x1a\n\0\xff"
    bench.file("img/more/x", "x")
    result = await bench.result("move", path="img", to="assets/images/")
    assert result.text == "moved img to assets/images"
    assert result.presentation.content == (TextContent(text="A folder with 2 entries."),)
    assert (bench.root / "assets/images/more/x").read_text() == "x"


async def test_the_model_still_knows_what_it_read(bench: Bench) -> None:
    bench.file("src/a.py", "one\n")
    await bench.text("read_file", path="src/a.py")
    await bench.text("move", path="src", to="lib")
    moved = bench.root / "lib/a.py"
    moved.write_text("one more\n")
    edits = [{"old_text": "one", "new_text": "1"}]
    assert await bench.text("edit_file", path="lib/a.py", edits=edits) == (
        "error: lib/a.py changed since it was read; read it again first"
    )


async def test_what_does_not_move(bench: Bench) -> None:
    bench.file("a.py", "a")
    bench.file("b.py", "b")
    bench.file("sub/c.py", "c")
    (bench.root / "link").symlink_to("a.py")
    for path, to, sentence in [
        ("a.py", "b.py", "b.py is there already; nothing is overwritten"),
        ("a.py", "a.py", "a.py is there already"),
        ("a.py", "sub", "sub is a folder; write sub/a.py to move into it"),
        ("a.py", "new/", "new/ names a folder; write new/a.py"),
        ("sub", "sub/sub", "sub cannot be moved into itself"),
        ("x.py", "y.py", "there is no file or folder x.py; did you mean b.py or a.py?"),
        ("link", "y.py", "link is a symbolic link; use run_command with mv or rm"),
        ("a.py", "link", "link is a symbolic link; use run_command with mv or rm"),
        (".", "y", ". is a folder of the workspace itself and stays"),
        ("a.py", "b.py/c", "the folder b.py could not be created: file exists"),
    ]:
        text = await bench.text("move", path=path, to=to)
        assert text == f"error: {sentence}", (path, to)
    assert sorted(entry.name for entry in bench.root.iterdir()) == ["a.py", "b.py", "link", "sub"]


async def test_deleting(bench: Bench) -> None:
    path = bench.file("a.py", "\ufeffone\n")
    shown = await bench.present("delete", path="a.py")
    assert path.exists()
    assert shown == Presentation(
        title="Delete a.py",
        kind="delete",
        locations=(Location(path=path),),
        content=(DiffContent(path=path, old_text="one\n", new_text=None, bom=True),),
    )
    assert await bench.text("delete", path="a.py") == "deleted a.py"
    assert not path.exists()
    bench.file("b.bin", "a\0b")
    shown = await bench.present("delete", path="b.bin")
    assert shown.content == (TextContent(text="A file of 3 bytes that is not shown as text."),)
    assert await bench.text("delete", path="b.bin") == "deleted b.bin"
    (bench.root / "empty").mkdir()
    assert await bench.text("delete", path="empty/") == "deleted empty"
    assert list(bench.root.iterdir()) == []


async def test_what_stays(bench: Bench) -> None:
    bench.file("full/a", "a")
    locked = bench.file("locked", "x")
    locked.chmod(0o444)
    bench.file("locked.bin", "\0").chmod(0o444)
    (bench.root / "link").symlink_to("full")
    for path, sentence in [
        (
            "full",
            "full is a folder with 1 entry; use run_command with rm -r to delete it with them",
        ),
        ("link", "link is a symbolic link; use run_command with mv or rm"),
        (".", ". is a folder of the workspace itself and stays"),
        ("locked", "locked is read-only"),
        ("locked.bin", "locked.bin is read-only"),
        ("none", "there is no file or folder none"),
    ]:
        assert (await bench.text("delete", path=path)).startswith(f"error: {sentence}"), path
    assert (bench.root / "full/a").exists()
    assert locked.exists()


async def test_a_file_that_changed_is_not_deleted(bench: Bench) -> None:
    path = bench.file("a", "one\n")
    await bench.text("read_file", path="a")
    path.write_text("two\n")
    for call in ({"tool": "delete"}, {"tool": "move", "to": "b"}):
        name = call.pop("tool")
        assert await bench.text(name, path="a", **call) == (
            "error: a changed since it was read; read it again first"
        )
    assert path.read_text() == "two\n"


async def test_files_that_vanish_in_between(bench: Bench) -> None:
    """The person was asked, and meanwhile the file went."""
    path = bench.file("a", "one\n")
    await bench.present("delete", path="a")
    await bench.present("move", path="a", to="b")
    path.unlink()
    for name, more in (("delete", {}), ("move", {"to": "b"})):
        assert await bench.text(name, path="a", **more) == "error: there is no file or folder a"


def test_a_rule_for_a_file_holds_for_the_folder_around_it(bench: Bench) -> None:
    place = Place(bench.context.workspace)
    bench.file("src/keys/secret.py", "x")
    rule = Rule("deny", EDITS, PathPattern("src/keys/secret.py"))
    for path, to in (("src/keys/secret.py", "x"), ("src", "y"), ("z", "src/keys/secret.py")):
        call = describe_call(MOVE, MoveArguments(path=path, to=to), place)
        assert judge([rule], call, place) == Forbidden(rule)
