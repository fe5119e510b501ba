import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from punie.tools.presentation import Location, TextContent
from punie.tools.read_file import ReadFileArguments, numbered
from punie.workspace.base import LineRange
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


async def test_a_whole_file(bench: Bench) -> None:
    path = bench.file("src/a.py", "def f():\n    return 1\n\nlast")
    result = await bench.result("read_file", path="src/a.py")
    assert result.text == "1:def f():\n2:    return 1\n3:\n4:last"
    assert result.presentation.title == "Read src/a.py"
    assert result.presentation.kind == "read"
    assert result.presentation.locations == (Location(path=path),)
    assert result.presentation.content == (
        TextContent(text="```py\ndef f():\n    return 1\n\nlast\n```"),
    )


async def test_ranges(bench: Bench) -> None:
    bench.file("a", "".join(f"line {number}\n" for number in range(1, 11)))
    assert await bench.text("read_file", path="a", start_line=9) == "9:line 9\n10:line 10"
    assert await bench.text("read_file", path="a", end_line=2) == "1:line 1\n2:line 2"
    assert await bench.text("read_file", path="a", start_line=3, end_line=3) == "3:line 3"
    assert await bench.text("read_file", path="a", start_line=10, end_line=99) == "10:line 10"
    titles = [
        (await bench.present("read_file", path="a", **range_)).title
        for range_ in ({"start_line": 3, "end_line": 9}, {"start_line": 3}, {"end_line": 9})
    ]
    assert titles == ["Read a (lines 3-9)", "Read a (from line 3)", "Read a (lines 1-9)"]
    assert (await bench.present("read_file", path="a", start_line=3)).locations[0].line == 3


async def test_ranges_that_make_no_sense(bench: Bench) -> None:
    bench.file("a", "1\n2\n3\n")
    read = {
        (0, None): "error: start_line is 0, but lines are counted from 1",
        (4, None): "error: a ends at line 3, before line 4",
        (3, 2): "error: end_line 2 comes before line 3",
        (None, 0): "error: end_line 0 comes before line 1",
    }
    for (start, end), sentence in read.items():
        assert await bench.text("read_file", path="a", start_line=start, end_line=end) == sentence


async def test_an_empty_file(bench: Bench) -> None:
    bench.file("a", "")
    assert await bench.text("read_file", path="a") == "(empty)"
    assert await bench.text("read_file", path="a", start_line=1) == "(empty)"


async def test_carriage_returns_and_marks_are_not_shown(bench: Bench) -> None:
    bench.file("crlf", "a\r\nb\r\n")
    bench.file("mixed", "a\r\nb\n")
    bench.file("bom", "\ufeffa\n")
    assert await bench.text("read_file", path="crlf") == "1:a\n2:b"
    assert await bench.text("read_file", path="mixed") == "1:a\n2:b"
    assert await bench.text("read_file", path="bom") == "1:a"


async def test_a_long_file_says_where_to_go_on(bench: Bench) -> None:
    bench.file("a", "".join(f"{'x' * 20}\n" for _ in range(200)))
    text = await bench.limited(result_chars=1000).text("read_file", path="a")
    *rows, trailer = text.split("\n")
    assert trailer == f"(lines 1-{len(rows)} of 200; go on with start_line={len(rows) + 1})"
    assert 800 < len(text) <= 1000


async def test_reading_on_sees_every_line_once(bench: Bench) -> None:
    bench.file("a", "".join(f"line {number}\n" for number in range(1, 301)))
    small = bench.limited(result_chars=500)
    seen: list[str] = []
    start = 1
    while True:
        text = await small.text("read_file", path="a", start_line=start)
        rows = text.split("\n")
        seen += [row for row in rows if not row.startswith("(")]
        if not rows[-1].startswith("("):
            break
        start = int(rows[-1].rpartition("=")[2].rstrip(")"))
    assert seen == [f"{number}:line {number}" for number in range(1, 301)]


async def test_one_enormous_line(bench: Bench) -> None:
    bench.file("a", "x" * 5000 + "\nnext\n")
    text = await bench.limited(result_chars=500).text("read_file", path="a")
    assert text.startswith("1:xxx")
    assert text.endswith("… (line cut)\n(lines 1-1 of 2; go on with start_line=2)")
    assert len(text) <= 500


async def test_backticks_cannot_leave_the_block(bench: Bench) -> None:
    bench.file("a.md", "````\ncode\n````\n")
    content = (await bench.result("read_file", path="a.md")).presentation.content
    assert content == (TextContent(text="`````md\n````\ncode\n````\n`````"),)


async def test_missing_files_and_binary_files(bench: Bench) -> None:
    bench.file("settings.py", "")
    bench.file("b.bin", "a\0b")
    assert await bench.text("read_file", path="setting.py") == (
        "error: there is no file setting.py; did you mean settings.py?"
    )
    assert await bench.text("read_file", path="b.bin") == (
        "error: b.bin is a binary file (NUL byte at offset 1)"
    )
    assert await bench.text("read_file", path=".") == (
        "error: . is a folder, not a file; use list_dir"
    )


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=st.lists(st.text("ab:\t", max_size=40), min_size=1, max_size=30),
    limit=st.integers(150, 600),
)
def test_a_result_never_exceeds_its_limit(lines: list[str], limit: int) -> None:
    text = numbered(LineRange(tuple(lines), 1, len(lines)), limit)
    assert len(text) <= limit
    rows = text.split("\n")
    if rows[-1].startswith("("):
        last = int(rows[-1].split("-")[1].split(" ")[0])
        assert rows[:-1] == [f"{n}:{line}" for n, line in enumerate(lines[:last], start=1)]
    else:
        assert rows == [f"{n}:{line}" for n, line in enumerate(lines, start=1)]


def test_arguments_have_their_fixed_names() -> None:
    assert list(ReadFileArguments.model_fields) == ["path", "start_line", "end_line"]


async def test_listing(bench: Bench) -> None:
    bench.file("src/a.py", "")
    bench.file("b.txt", "")
    (bench.root / "empty").mkdir()
    result = await bench.result("list_dir")
    assert result.text == "empty/\nsrc/\nb.txt"
    assert result.presentation.title == "List ."
    assert result.presentation.kind == "read"
    assert await bench.text("list_dir", path="src") == "a.py"
    assert await bench.text("list_dir", path="src/") == "a.py"
    assert await bench.text("list_dir", path="empty") == "(empty)"
    assert (await bench.present("list_dir", path="src")).title == "List src"
    assert await bench.text("list_dir", path="b.txt") == "error: b.txt is a file, not a folder"
    assert await bench.text("list_dir", path="scr") == (
        "error: there is no folder scr; did you mean src?"
    )


async def test_a_crowded_folder(bench: Bench) -> None:
    for number in range(600):
        (bench.root / f"{number:03}").touch()
    rows = (await bench.text("list_dir")).split("\n")
    assert rows[:2] == ["000", "001"]
    assert rows[500:] == ["(first 500 of 600 entries)"]
    text = await bench.limited(result_chars=200).text("list_dir")
    assert len(text) <= 200
    assert text.endswith(f"(first {text.count(chr(10))} of 600 entries)")


async def test_names_that_would_break_a_line(bench: Bench) -> None:
    (bench.root / "two\nlines").touch()
    assert await bench.text("list_dir") == r"two\nlines"


async def test_ignored_entries_are_left_out_and_named(bench: Bench) -> None:
    bench.file(".gitignore", "build/\n*.log\n")
    for name in ("src/a.py", "build/out/x", "a.log", ".git/config"):
        bench.file(name, "")
    assert await bench.text("list_dir") == ("src/\n.gitignore\n(ignored: build/, a.log)")
    assert await bench.text("list_dir", path="build") == "out/"
    for number in range(20):
        bench.file(f"{number:02}.log", "")
    assert (await bench.text("list_dir")).endswith(
        "(ignored: build/, 00.log, 01.log, 02.log, 03.log, 04.log and 16 more)"
    )
    bench.file("logs/x.log", "")
    assert await bench.text("list_dir", path="logs") == "(empty)\n(ignored: x.log)"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            b"\x89PNG\r\n\x1a\n\0\0",
            "f is a PNG image, not text; ask the user what it shows",
        ),
        (
            b"%PDF-1.7\n%\xe2\xe3\n",
            "f is a PDF document, not text; get its text with run_command, as in pdftotext or "
            "pandoc",
        ),
        (
            b"PK\x03\x04\x14\0\0\0",
            "f is a zip archive, not text; list it with run_command, as in tar -tf or unzip -l",
        ),
        (
            b"SQLite format 3\0",
            "f is an SQLite database, not text; look at it with run_command and a program for it",
        ),
        (b"a\0b", "f is a binary file (NUL byte at offset 1)"),
    ],
)
async def test_what_is_not_text_is_named(bench: Bench, data: bytes, sentence: str) -> None:
    bench.file("f", "").write_bytes(data)
    assert await bench.text("read_file", path="f") == f"error: {sentence}"


async def test_a_part_of_a_huge_file(bench: Bench) -> None:
    path = bench.file("huge.log", "")
    with path.open("wb") as file:
        file.write(b"first\n")
        for number in range(11):
            file.write(b"%07d\n" % number * 131_072)
    size = path.stat().st_size
    assert await bench.text("read_file", path="huge.log") == (
        f"error: huge.log has {size} bytes, more than the 10485760 that can be read at once; read "
        "a part of it with start_line and end_line"
    )
    read = bench.text
    assert await read("read_file", path="huge.log", start_line=1, end_line=2) == (
        "1:first\n2:0000000"
    )
    assert await read("read_file", path="huge.log", start_line=1_441_793, end_line=1_441_793) == (
        "1441793:0000010"
    )
    assert await read("read_file", path="huge.log", start_line=2_000_000) == (
        "error: huge.log ends at line 1441793, before line 2000000"
    )
    text = await bench.limited(result_chars=400).text(
        "read_file", path="huge.log", start_line=1_000_000
    )
    *rows, trailer = text.split("\n")
    assert trailer == (
        f"(lines 1000000-{999_999 + len(rows)}; go on with start_line={1_000_000 + len(rows)})"
    )
    assert len(text) <= 400
