from typing import Any

import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.tools.presentation import Location
from punie.workspace.local import LocalWorkspace
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


async def test_searching(bench: Bench) -> None:
    path = bench.file("src/a.py", "def f():\n    return needle\n")
    bench.file("b.py", "\tneedle\n")
    result = await bench.result("search", pattern="needle")
    assert result.text == "b.py:1:needle\nsrc/a.py:2:return needle"
    assert result.presentation.kind == "search"
    assert result.presentation.locations[1] == Location(path=path, line=2)
    assert await bench.text("search", pattern="needle", path="src") == "src/a.py:2:return needle"
    assert await bench.text("search", pattern="n.+le$", regex=True, glob="b*") == "b.py:1:needle"
    assert await bench.text("search", pattern="absent") == "(no matches)"
    assert await bench.text("search", pattern="") == (
        "error: the pattern is empty; use list_dir to see which files there are"
    )
    assert await bench.text("search", pattern="(", regex=True) == (
        "error: the pattern is not a valid regular expression: unclosed group"
    )
    titles = [
        (await bench.present("search", pattern="needle")).title,
        (await bench.present("search", pattern="foo", path="src")).title,
        (await bench.present("search", pattern="foo\nbar", glob="*.py")).title,
    ]
    assert titles == ['Search "needle"', 'Search "foo" in src', 'Search "foo …" (*.py)']


async def test_many_matches(bench: Bench) -> None:
    bench.file("a", "needle\n" * 51)
    bench.file("b", "short\n" * 50)
    rows = (await bench.text("search", pattern="needle")).split("\n")
    assert len(rows) == 51
    assert rows[-1] == "(first 50 matches; narrow the search)"
    assert (await bench.text("search", pattern="short")).count("\n") == 49
    text = await bench.limited(result_chars=300).text("search", pattern="needle")
    assert len(text) <= 300
    assert text.endswith(f"(first {text.count(chr(10))} matches; narrow the search)")


async def test_counts_instead_of_lines(bench: Bench) -> None:
    bench.file("src/a.py", "needle\nneedle needle\n")
    bench.file("b.py", "needle\n")
    bench.file("c.py", "")
    result = await bench.result("search", pattern="needle", counts=True)
    assert result.text == "b.py:1\nsrc/a.py:2"
    assert result.presentation.title == 'Search "needle": 2 files with 3 matching lines'
    assert [place.path.name for place in result.presentation.locations] == ["b.py", "a.py"]
    text = await bench.limited(result_chars=200).text("search", pattern="needle", counts=True)
    assert text == result.text
    assert await bench.text("search", pattern="absent", counts=True) == "(no matches)"


async def test_many_files_are_counted_to_the_last(bench: Bench) -> None:
    for number in range(250):
        bench.file(f"{number:03}", "needle\n")
    rows = (await bench.text("search", pattern="needle", counts=True)).split("\n")
    assert rows[0] == "000:1"
    assert rows[200] == "(first 200 of 250 files with 250 matching lines; narrow the search)"


async def test_lines_around_matches(bench: Bench) -> None:
    bench.file("a.py", "def f():\n    x = 1\n    needle\n    y = 2\n\n\n\n    needle\nend\n")
    assert await bench.text("search", pattern="needle", context=1) == (
        "a.py-2-    x = 1\na.py:3:    needle\na.py-4-    y = 2\n--\n"
        "a.py-7-\na.py:8:    needle\na.py-9-end"
    )
    assert (await bench.text("search", pattern="needle", context=2)).count("--") == 0
    assert await bench.text("search", pattern="def", context=999) == (
        await bench.text("search", pattern="def", context=20)
    )
    bench.file("b", "needle\nx\n" * 51)
    rows = (await bench.text("search", pattern="needle", path="b", context=1)).split("\n")
    assert rows[-1] == "(first 50 matches; narrow the search)"
    assert sum(":" in row for row in rows[:-1]) == 50


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            {"pattern": "Needle"},
            "upper and lower case differ in what is there, as in src/a.py:1",
        ),
        ({"pattern": "n.+dle"}, "regex=true finds some, as in src/a.py:1"),
        ({"pattern": "f(x)", "regex": True}, "regex=false finds some, as in src/a.py:2"),
        ({"pattern": " needle "}, "without the spaces around it there are some, as in src/a.py:1"),
        ({"pattern": "needle", "glob": "*.md"}, "files other than *.md have some, as in src/a.py"),
        ({"pattern": "needle", "path": "docs"}, "there are some elsewhere, as in src/a.py:1"),
        (
            {"pattern": "only here"},
            "ignored files have some; give their folder as path, as in build/b.py:1",
        ),
    ],
)
async def test_a_search_without_matches_says_what_is_nearest(
    bench: Bench, arguments: dict[str, Any], hint: str
) -> None:
    bench.file(".gitignore", "build\n")
    bench.file("src/a.py", "a needle\nf(x)\n")
    bench.file("docs/x", "nothing\n")
    bench.file("build/b.py", "only here\n")
    for counts in (False, True):
        text = await bench.text("search", counts=counts, **arguments)
        assert text.startswith(f"(no matches; {hint}")
        assert text.endswith(")")
    assert await bench.text("search", pattern="only here", path="build") == (
        "build/b.py:1:only here"
    )


async def test_a_glob_does_not_bring_ignored_files_back(bench: Bench) -> None:
    bench.file(".gitignore", "made_*.py\n.venv\n")
    for name in ("made_a.py", ".venv/b.py", "c.py"):
        bench.file(name, "needle\n")
    for glob in ("*.py", "*"):
        assert await bench.text("search", pattern="needle", glob=glob) == "c.py:1:needle"
    assert await bench.text("search", pattern="needle", glob="!c.py") == (
        "(no matches; files other than !c.py have some, as in c.py:1)"
    )


async def test_finding_files(bench: Bench) -> None:
    path = bench.file("src/core/models.py", "")
    bench.file("src/test_models.py", "")
    bench.file("README.md", "")
    result = await bench.result("find_files", pattern="models")
    assert result.text == "src/test_models.py\nsrc/core/models.py"
    assert result.presentation.title == 'Find files "models": 2 files'
    assert result.presentation.kind == "search"
    assert result.presentation.locations[1] == Location(path=path)
    assert await bench.text("find_files", pattern="*.md") == "README.md"
    assert await bench.text("find_files", pattern="models", path="src/core") == (
        "src/core/models.py"
    )
    assert await bench.text("find_files", pattern="x") == (
        "(no files; ignored files are not looked at)"
    )
    assert await bench.text("find_files", pattern="") == (
        "error: the pattern is empty; use list_dir to see which files there are"
    )
    assert await bench.text("find_files", pattern="x", path="src/core/models.py") == (
        "error: src/core/models.py is a file, not a folder"
    )


async def test_many_files_are_counted(bench: Bench) -> None:
    for number in range(250):
        bench.file(f"{number:03}.py", "")
    rows = (await bench.text("find_files", pattern="*.py")).split("\n")
    assert rows[:2] == ["000.py", "001.py"]
    assert rows[100:] == ["(first 100 of 250 files; narrow the pattern or the path)"]
    text = await bench.limited(result_chars=300).text("find_files", pattern="*.py")
    assert len(text) <= 300


async def test_further_roots_are_looked_at_too(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for root in (first, second):
        (root / "a.py").write_text("needle\n")
    workspace = LocalWorkspace([first, second])
    bench = Bench(first, ToolContext(workspace, ReadLedger()))
    assert await bench.text("find_files", pattern="a.py") == f"a.py\n{second}/a.py"
    assert await bench.text("search", pattern="needle", counts=True) == (f"a.py:1\n{second}/a.py:1")


async def test_secret_files_are_left_out_unless_they_are_named(bench: Bench) -> None:
    bench.file(".env", "TOKEN=needle\n")
    bench.file("keys/id_rsa", "needle\n")
    bench.file("src/a.py", "needle = 1\n")
    left_out = "(1 file here that may hold secrets not searched; name one as path)"
    assert await bench.text("search", pattern="needle") == f"src/a.py:1:needle = 1\n{left_out}"
    assert await bench.text("search", pattern="needle", counts=True) == f"src/a.py:1\n{left_out}"
    # The row is the same whatever is in the file, so that nothing of it can be found out.
    assert left_out in await bench.text("search", pattern="nowhere")
    assert "(no matches" in await bench.text("search", pattern="needle", path="keys")
    assert await bench.text("search", pattern="needle", path=".env") == ".env:1:TOKEN=needle"
    assert (await bench.result("search", pattern="needle", glob=".env")).data == []
