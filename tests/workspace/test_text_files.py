import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.workspace.base import MissingFileError, NotTextError, WorkspaceError
from punie.workspace.local import LocalWorkspace
from punie.workspace.text_files import MAX_TEXT_BYTES, decode_text, encode_text

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> LocalWorkspace:
    return LocalWorkspace([tmp_path])


@settings(deadline=None)
@given(
    pieces=st.lists(st.sampled_from(["a", "ü", "𝄞", "\n", "\r\n", "\r", "\t", " "])),
    bom=st.booleans(),
)
def test_reading_and_writing_back_keeps_every_byte(pieces: list[str], bom: bool) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + "".join(pieces).encode()
    file = decode_text(Path("/x"), "x", data)
    assert encode_text("x", file.text, newline=file.newline, bom=file.bom) == data


def test_line_ends_are_told_apart() -> None:
    def newline(data: bytes) -> tuple[str, str]:
        file = decode_text(Path("/x"), "x", data)
        return file.newline, file.text

    assert newline(b"a\r\nb\r\n") == ("\r\n", "a\nb\n")
    assert newline(b"a\nb\n") == ("\n", "a\nb\n")
    assert newline(b"a\r\nb\n") == ("\n", "a\r\nb\n")
    assert newline(b"") == ("\n", "")


@settings(deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_text_or_refused_with_a_reason(data: bytes) -> None:
    try:
        file = decode_text(Path("/x"), "x.bin", data)
    except NotTextError as refusal:
        sentence = str(refusal)
    else:
        sentence = "x.bin is text"
        assert encode_text("x", file.text, newline=file.newline, bom=file.bom) == data
    assert sentence.startswith("x.bin is ")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"ab\0c", r"binary file \(NUL byte at offset 2\)"),
        (b"ab\xff", r"not UTF-8 text \(byte 0xff at offset 2\)"),
        (b"\xef\xbb\xbfab\xff", r"byte 0xff at offset 5"),
        ("hi".encode("utf-16"), "UTF-16"),
    ],
)
async def test_what_is_not_text_is_refused(
    workspace: LocalWorkspace, tmp_path: Path, data: bytes, reason: str
) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(NotTextError, match=reason):
        await workspace.read_text(workspace.resolve("x"))


async def test_missing_files_name_what_is_close(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "settings.py").write_text("")
    cases = {
        "src/setings.py": "there is no file src/setings.py; did you mean src/settings.py?",
        "src/zebra.txt": "there is no file src/zebra.txt",
        "srk/settings.py": "there is no folder srk; did you mean src?",
        "a/b/c.py": "there is no folder a",
        "src/settings.py/x": "src/settings.py is a file, not a folder",
        "src": "src is a folder, not a file",
    }
    for path, sentence in cases.items():
        with pytest.raises(WorkspaceError) as caught:
            await workspace.read_text(workspace.resolve(path))
        assert str(caught.value) == sentence
    with pytest.raises(MissingFileError):
        await workspace.read_text(workspace.resolve("nothing"))


async def test_pipes_and_huge_files_are_not_opened(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WorkspaceError, match="not a regular file"):
        await workspace.read_text(workspace.resolve("pipe"))
    with pytest.raises(WorkspaceError, match="not a regular file"):
        await workspace.write_text(workspace.resolve("pipe"), "x")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_TEXT_BYTES + 1)
    with pytest.raises(WorkspaceError, match="more than the"):
        await workspace.read_text(workspace.resolve("huge"))


async def test_a_loop_of_links_is_one_sentence(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(WorkspaceError, match="loop could not be read: too many levels"):
        await workspace.read_text(workspace.resolve("loop"))


async def test_writing_keeps_mode_line_ends_and_mark(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    path = tmp_path / "run.sh"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    path.chmod(0o751)
    old = await workspace.read_text(path)
    new = await workspace.write_text(path, "c\nd\n", like=old)
    assert path.read_bytes() == b"\xef\xbb\xbfc\r\nd\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    assert new == await workspace.read_text(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.sh"]


async def test_a_new_file_gets_its_folders_and_the_usual_mode(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    await workspace.write_text(workspace.resolve("a/b/new.txt"), "hi\n")
    new = tmp_path / "a" / "b" / "new.txt"
    assert new.read_text() == "hi\n"
    assert new.stat().st_mode == usual.stat().st_mode


async def test_writing_over_a_link_inside_changes_its_target(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    (tmp_path / "target").write_text("old\n")
    (tmp_path / "link").symlink_to("target")
    await workspace.write_text(workspace.resolve("link"), "new\n")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new\n"


async def test_writing_through_a_link_made_meanwhile_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project, outside = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("outside")
    (outside / "x").write_text("untouched")
    workspace = LocalWorkspace([project])
    path = workspace.resolve("d/x")
    (project / "d").symlink_to(outside)
    with pytest.raises(WorkspaceError, match="leads outside the workspace"):
        await workspace.write_text(path, "changed")
    with pytest.raises(WorkspaceError, match="leads outside the workspace"):
        await workspace.read_text(path)
    assert (outside / "x").read_text() == "untouched"


async def test_a_file_that_changed_since_like_was_read_is_not_overwritten(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\n")
    old = await workspace.read_text(path)
    path.write_text("by someone else\n")
    with pytest.raises(WorkspaceError, match=r"a\.txt changed on disk just now"):
        await workspace.write_text(path, "two\n", like=old)
    path.unlink()
    with pytest.raises(WorkspaceError, match=r"a\.txt changed on disk just now"):
        await workspace.write_text(path, "two\n", like=old)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_text_that_could_not_be_read_back_is_not_written(
    workspace: LocalWorkspace, tmp_path: Path, text: str
) -> None:
    with pytest.raises(NotTextError):
        await workspace.write_text(tmp_path / "x", text)
    assert list(tmp_path.iterdir()) == []


async def test_writing_where_a_folder_or_file_is_in_the_way(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="folder is a folder, not a file"):
        await workspace.write_text(tmp_path / "folder", "x")
    with pytest.raises(WorkspaceError, match="the folder file could not be created"):
        await workspace.write_text(tmp_path / "file" / "x", "x")
    with pytest.raises(WorkspaceError, match="could not be"):
        await workspace.write_text(tmp_path / ("n" * 300), "x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


async def test_a_read_only_file_is_left_alone(workspace: LocalWorkspace, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(WorkspaceError, match="file is read-only"):
        await workspace.write_text(path, "new")
    assert path.read_text() == "old"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_that_may_not_be_read(workspace: LocalWorkspace, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o000)
    with pytest.raises(WorkspaceError, match="could not be read: permission denied"):
        await workspace.read_text(path)


async def test_listing_puts_folders_first(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_text("abc")
    (tmp_path / "A").mkdir()
    (tmp_path / "gone").symlink_to("nowhere")
    entries = await workspace.list_dir(tmp_path)
    assert [(entry.name, entry.is_dir, entry.size) for entry in entries] == [
        ("A", True, 0),
        ("b", True, 0),
        ("a.txt", False, 3),
        ("gone", False, 0),
    ]


async def test_listing_what_is_no_folder(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "a.txt").write_text("")
    cases = {
        "source": "there is no folder source; did you mean sources?",
        "a.txt": "a.txt is a file, not a folder",
        "a.txt/x": "a.txt is a file, not a folder",
    }
    for path, sentence in cases.items():
        with pytest.raises(WorkspaceError) as caught:
            await workspace.list_dir(workspace.resolve(path))
        assert str(caught.value) == sentence


async def test_removing_takes_the_file_as_it_was_read(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    path = workspace.resolve("new/a.txt")
    file = await workspace.write_text(path, "one\n")
    (tmp_path / "new/a.txt").write_text("two\n")
    with pytest.raises(WorkspaceError, match="changed on disk"):
        await workspace.remove(file)
    assert (tmp_path / "new/a.txt").read_text() == "two\n"
    await workspace.remove(await workspace.read_text(path))
    assert not (tmp_path / "new/a.txt").exists()
    with pytest.raises(MissingFileError, match="there is no file new"):
        await workspace.remove(file)


async def test_removing_never_leaves_the_workspace(
    workspace: LocalWorkspace, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.txt").write_text("mine\n")
    inside = tmp_path / "folder"
    inside.mkdir()
    (inside / "a.txt").write_text("mine\n")
    file = await workspace.read_text(workspace.resolve("folder/a.txt"))
    (inside / "a.txt").unlink()
    inside.rmdir()
    inside.symlink_to(outside)
    with pytest.raises(WorkspaceError, match="leads outside the workspace"):
        await workspace.remove(file)
    assert (outside / "a.txt").exists()
