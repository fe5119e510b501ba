import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.tools.base import ToolError
from punie.tools.presentation import DiffContent, Location
from punie.tools.replacements import Replacement, apply_replacements
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


def _edits(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"edits": [{"old_text": old, "new_text": new} for old, new in pairs]}


async def test_an_edit(bench: Bench) -> None:
    path = bench.file("src/a.py", "one\ntwo\nthree\n")
    result = await bench.result("edit_file", path="src/a.py", **_edits(("two", "2")))
    assert result.text == "edited src/a.py: 1 replacement"
    assert path.read_text() == "one\n2\nthree\n"
    assert result.presentation.title == "Edit src/a.py"
    assert result.presentation.kind == "edit"
    assert result.presentation.locations == (Location(path=path, line=2),)
    assert result.presentation.content == (
        DiffContent(path=path, old_text="one\ntwo\nthree\n", new_text="one\n2\nthree\n"),
    )


async def test_edits_build_on_each_other(bench: Bench) -> None:
    path = bench.file("a", "one\ntwo\n")
    pairs = _edits(("one", "first"), ("first\ntwo", "both"))
    assert await bench.text("edit_file", path="a", **pairs) == "edited a: 2 replacements"
    assert path.read_text() == "both\n"


async def test_all_or_nothing(bench: Bench) -> None:
    path = bench.file("a", "one\ntwo\n")
    text = await bench.text("edit_file", path="a", **_edits(("one", "1"), ("three", "3")))
    assert text.startswith("error: old_text of edit 2 is not in a")
    assert path.read_text() == "one\ntwo\n"


async def test_presenting_shows_the_diff_and_touches_nothing(bench: Bench) -> None:
    path = bench.file("a", "one\n")
    before = path.stat()
    shown = await bench.present("edit_file", path="a", **_edits(("one", "1")))
    assert shown.content == (DiffContent(path=path, old_text="one\n", new_text="1\n"),)
    shown = await bench.present("write_file", path="new/b", content="x\n")
    assert shown.content == (
        DiffContent(path=bench.root / "new" / "b", old_text=None, new_text="x\n"),
    )
    assert path.stat() == before
    assert list(bench.root.iterdir()) == [path]


async def test_an_impossible_edit_is_refused_before_anyone_is_asked(bench: Bench) -> None:
    bench.file("a", "one\n")
    with pytest.raises(ToolError, match="old_text is not in a"):
        await bench.present("edit_file", path="a", **_edits(("two", "2")))
    with pytest.raises(ToolError, match="NUL character"):
        await bench.present("edit_file", path="a", **_edits(("one", "\0")))
    with pytest.raises(ToolError, match="NUL character"):
        await bench.present("write_file", path="b", content="\0")
    with pytest.raises(ToolError, match="is a folder"):
        await bench.present("write_file", path=".", content="x")
    with pytest.raises(ToolError, match="names a folder"):
        await bench.present("write_file", path="b/", content="x")


async def test_what_an_edit_needs(bench: Bench) -> None:
    bench.file("a.py", "x = 1\ny = 1\nz = x\n")
    cases: list[tuple[dict[str, Any], str]] = [
        (_edits(), "edits is empty"),
        (_edits(("", "x")), "old_text is empty; to create a file use write_file"),
        (_edits(("x = 1", "x = 1")), "old_text and its new_text are the same"),
        (_edits(("x = 1", "q"), ("q", "x = 1")), "the edits together leave a.py as it is"),
        (
            _edits(("= 1", "= 2")),
            "old_text occurs 2 times in a.py (lines 1 and 2); "
            "add lines around it so that it occurs once",
        ),
        (
            _edits(("x = 2", "x = 3")),
            "old_text is not in a.py; the closest is line 1:\n1:x = 1",
        ),
        (_edits(("@@@@@@@@@@", "x")), "old_text is not in a.py; read the file to see what is"),
        (_edits(("\n\n\n", "x")), "old_text is not in a.py; read the file to see what is"),
        (_edits(("1:x = 1", "x = 2")), "old_text begins with line numbers; leave them out"),
    ]
    for arguments, sentence in cases:
        assert await bench.text("edit_file", path="a.py", **arguments) == f"error: {sentence}"
    assert await bench.text("edit_file", path="b.py", **_edits(("x", "y"))) == (
        "error: there is no file b.py; did you mean a.py?"
    )


async def test_the_closest_lines_are_shown(bench: Bench) -> None:
    bench.file("a.py", "import os\n\n\ndef f(x):\n    y = x\n    return y\n")
    text = await bench.text(
        "edit_file", path="a.py", **_edits(("def f(x):\n    y = x + 1\n    return y\n", ""))
    )
    assert text == (
        "error: old_text is not in a.py; the closest is lines 4-6:\n"
        "4:def f(x):\n5:    y = x\n6:    return y"
    )
    text = await bench.text("edit_file", path="a.py", **_edits(("  y = x\n  return y", "")))
    assert text == (
        "error: old_text is not in a.py; only the indentation of lines 5-6 differs "
        "(4 spaces in the file, 2 spaces in yours):\n"
        "5:    y = x\n6:    return y"
    )


async def test_a_hint_stays_short_in_a_hostile_file(bench: Bench) -> None:
    bench.file("a", "\n".join(["}" * 5000] * 300 + ["word " * 5000] * 300))
    text = await bench.text("edit_file", path="a", **_edits(("wordy " * 5000, "")))
    assert text.startswith("error: old_text is not in a")
    assert len(text) < 1000
    text = await bench.text("edit_file", path="a", **_edits(("}", "{")))
    assert "occurs more than 1000 times in a (line 1)" in text


async def test_line_ends_mark_and_mode_survive(bench: Bench) -> None:
    path = bench.file("run.sh", "\ufeffone\r\ntwo\r\n")
    path.chmod(0o755)
    await bench.result("edit_file", path="run.sh", **_edits(("one\ntwo", "1\r\n2\n3")))
    assert path.read_bytes() == "\ufeff1\r\n2\r\n3\r\n".encode()
    await bench.result("write_file", path="run.sh", content="new\n")
    assert path.read_bytes() == "\ufeffnew\r\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


async def test_mixed_line_ends_are_left_as_they_are(bench: Bench) -> None:
    path = bench.file("a", "one\r\ntwo\nthree\r\nfour\n")
    await bench.result("edit_file", path="a", **_edits(("three\nfour", "3\n4")))
    assert path.read_bytes() == b"one\r\ntwo\n3\r\n4\n"


async def test_a_file_that_changed_since_it_was_read_is_not_edited(bench: Bench) -> None:
    path = bench.file("a", "one\n")
    stale = "error: a changed since it was read; read it again first"
    await bench.text("read_file", path="a")
    path.write_text("one more\n")
    for _ in range(2):
        assert await bench.text("edit_file", path="a", **_edits(("one", "1"))) == stale
        assert await bench.text("write_file", path="a", content="x") == stale
    assert path.read_text() == "one more\n"
    await bench.text("read_file", path="a")
    assert await bench.text("edit_file", path="a", **_edits(("one", "1"))) == (
        "edited a: 1 replacement"
    )


async def test_own_edits_are_not_foreign_changes(bench: Bench) -> None:
    bench.file("a", "one\n")
    await bench.text("read_file", path="a")
    for old, new in [("one", "two"), ("two", "three")]:
        assert await bench.text("edit_file", path="a", **_edits((old, new))) == (
            "edited a: 1 replacement"
        )
    assert await bench.text("write_file", path="a", content="four\n") == "replaced a: 1 line"
    assert await bench.text("edit_file", path="a", **_edits(("four", "5"))) == (
        "edited a: 1 replacement"
    )


async def test_writing(bench: Bench) -> None:
    result = await bench.result("write_file", path="new/a.py", content="1\n2\n3\n")
    path = bench.root / "new" / "a.py"
    assert result.text == "created new/a.py: 3 lines"
    assert result.presentation.title == "Create new/a.py"
    assert result.presentation.locations == (Location(path=path, line=1),)
    assert path.read_text() == "1\n2\n3\n"
    result = await bench.result("write_file", path="new/a.py", content="1\n4")
    assert result.text == "replaced new/a.py: 2 lines"
    assert result.presentation.title == "Overwrite new/a.py"
    assert result.presentation.locations == (Location(path=path, line=2),)
    assert result.presentation.content == (
        DiffContent(path=path, old_text="1\n2\n3\n", new_text="1\n4"),
    )
    assert await bench.text("write_file", path="empty", content="") == "created empty: 0 lines"


async def test_what_is_not_text_is_not_overwritten(bench: Bench) -> None:
    path = bench.file("a.bin", "a\0b")
    assert await bench.text("write_file", path="a.bin", content="x") == (
        "error: a.bin is a binary file (NUL byte at offset 1)"
    )
    assert path.read_bytes() == b"a\0b"


_TEXT = st.text("ab\n", max_size=30)


@settings(deadline=None)
@given(before=_TEXT, old=st.text("ab\n", min_size=1, max_size=6), new=_TEXT, after=_TEXT)
def test_a_unique_text_is_replaced_exactly(before: str, old: str, new: str, after: str) -> None:
    text = before + old + after
    places = [n for n in range(len(text)) if text.startswith(old, n)]
    edit = [Replacement(old, new)]
    if old == new:
        with pytest.raises(ToolError, match="the same"):
            apply_replacements(text, edit, "f")
    elif len(places) > 1:
        with pytest.raises(ToolError, match=f"occurs {len(places)} times"):
            apply_replacements(text, edit, "f")
    else:
        assert apply_replacements(text, edit, "f") == before + new + after


@settings(deadline=None)
@given(
    text=_TEXT,
    pairs=st.lists(st.tuples(st.text("ab\n", max_size=4), st.text("abc\n", max_size=4))),
)
def test_edits_follow_the_plain_definition(text: str, pairs: list[tuple[str, str]]) -> None:
    expected: str | None = text
    for old, new in pairs:
        fine = expected is not None and old and old != new
        places = [n for n in range(len(expected or "")) if (expected or "").startswith(old, n)]
        expected = (expected or "").replace(old, new, 1) if fine and len(places) == 1 else None
        if expected is None:
            break
    if not pairs or expected == text:
        expected = None
    try:
        actual: str | None = apply_replacements(text, [Replacement(*pair) for pair in pairs], "f")
    except ToolError:
        actual = None
    assert actual == expected


@settings(deadline=None)
@given(
    lines=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", ""]), st.sampled_from(["\n", "\r\n"]))
    ),
    old=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3),
)
def test_an_edit_changes_no_other_byte(lines: list[tuple[str, str]], old: list[str]) -> None:
    text = "".join(line + end for line, end in lines)
    try:
        changed = apply_replacements(text, [Replacement("\n".join(old), "X\nY")], "f")
    except ToolError:
        return
    head, _, tail = changed.partition("X")
    assert text.startswith(head)
    assert text.endswith(tail.partition("Y")[2])


def test_overlapping_places_count(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"occurs 2 times in f \(line 1\)"):
        apply_replacements("aaa", [Replacement("aa", "b")], "f")
