from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from punie.workspace.disk_changes import DiskChanges, text_digest


@given(
    text=st.text("aü\n", max_size=12),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_line_ends_and_mark_do_not_count(text: str, newline: str, mark: str) -> None:
    shown = mark + text.replace("\n", newline)
    assert text_digest(shown) == text_digest(shown.encode()) == text_digest(text)


@given(first=st.text("ab\n", max_size=6), second=st.text("ab\n", max_size=6))
def test_everything_else_does(first: str, second: str) -> None:
    assert (text_digest(first) == text_digest(second)) == (first == second)


def changes_of(*paths: Path) -> DiskChanges:
    changes = DiskChanges()
    for path in paths:
        changes.touch(path)
    return changes


def test_what_changed_and_what_it_held(tmp_path: Path) -> None:
    names = ("same", "touched", "changed", "removed", "made", "ends")
    paths = {name: tmp_path / name for name in names}
    for name, path in paths.items():
        if name != "made":
            path.write_text("one\n")
    changes = changes_of(*paths.values())
    watch = changes.begin()
    paths["touched"].touch()
    paths["changed"].write_text("two\n")
    paths["removed"].unlink()
    paths["made"].write_text("new\n")
    paths["ends"].write_bytes(b"one\r\n")
    assert changes.end(watch) == [paths["changed"]]
    assert changes.before(paths["changed"]) == frozenset({text_digest("one\n")})
    assert all(changes.before(path) is None for name, path in paths.items() if name != "changed")


def test_every_text_that_was_replaced_is_known_until_both_agree(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one\n")
    changes = changes_of(path)
    for text in ("two\n", "three\n"):
        watch = changes.begin()
        path.write_text(text)
        changes.end(watch)
    assert changes.before(path) == frozenset({text_digest("one\n"), text_digest("two\n")})
    changes.settle(path)
    assert changes.before(path) is None


def test_what_changes_between_commands_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one\n")
    changes = changes_of(path)
    changes.end(changes.begin())
    path.write_text("two\n")
    assert changes.end(changes.begin()) == []
    assert changes.before(path) is None


def test_the_files_touched_longest_ago_are_forgotten(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(250)]
    changes = changes_of(*paths, paths[60])
    for path in paths:
        path.write_text("one\n")
    watch = changes.begin()
    for path in paths:
        path.write_text("two\n")
    changed = changes.end(watch)
    assert len(changed) == 200
    assert changed[-1] == paths[60]
    assert paths[0] not in changed


def test_what_is_no_text_file_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    changes = changes_of(folder, tmp_path / "gone" / "a")
    watch = changes.begin()
    (folder / "new").touch()
    assert changes.end(watch) == []
