import pytest

from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


@pytest.fixture
def project(bench: Bench) -> Bench:
    bench.file("a.py", "cache = {}\nx = cache.get(\n    'k',\n    1)\nprint(cache.get(2))\n")
    bench.file("pkg/b.py", "def f(d):\r\n    return d.get('é😀')\r\n")
    bench.file("pkg/c.pyi", "y: int = z.get(3)\n")
    bench.file(".gitignore", "build/\n")
    bench.file("build/d.py", "d.get(1)\n")
    bench.file("notes.md", "d.get(1)\n")
    return bench


async def test_matches_of_all_files_come_with_what_the_holes_stand_for(project: Bench) -> None:
    result = await project.result("find_pattern", pattern="$X.get($Y)")
    assert result.text.splitlines() == [
        "a.py:5:print(cache.get(2))",
        "pkg/b.py:2:return d.get('é😀')",
        "pkg/c.pyi:1:y: int = z.get(3)",
    ]
    assert isinstance(result.data, list)
    assert result.data[1] == {
        "path": "pkg/b.py",
        "line": 2,
        "end_line": 2,
        "text": "return d.get('é😀')",
        "holes": {"X": "d", "Y": "'é😀'"},
    }
    assert result.presentation.title == 'Find "$X.get($Y)": 3 matches'
    text = await project.text("find_pattern", pattern="$X.get($Y, $Z)")
    assert text == "a.py:2:x = cache.get("
    assert await project.text("find_pattern", pattern="cache.get(...)", path="pkg") == (
        "(no matches)"
    )
    assert "2:return d.get" in await project.text("find_pattern", pattern="$X.get(...)", path="pkg")
    short = await project.limited(result_chars=170).text("find_pattern", pattern="$X.get(...)")
    assert short.endswith("(first 2 of 4; narrow the pattern or the path)")


async def test_files_that_are_not_python_are_named(project: Bench) -> None:
    project.file("broken.py", "def f(:\n  x.get(1)\n")
    project.file("deep.py", "x.get(1)\n" + "(" * 400 + ")" * 400)
    text = await project.text("find_pattern", pattern="$X.get(2)")
    assert text == (
        "a.py:5:print(cache.get(2))\n"
        "(note: left out, as they are not valid Python: broken.py, deep.py)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": "$X"}, "error: the pattern matches everything; put some code into it"),
        ({"pattern": "f("}, "error: the pattern is not Python with $X for holes: '(' was never"),
        ({"pattern": "f()", "path": "none.py"}, "error: there is no file or folder none.py"),
        ({"pattern": "f()", "path": "../x"}, "error: ../x is outside the workspace"),
    ],
)
async def test_what_cannot_be_looked_for(
    project: Bench, arguments: dict[str, str], message: str
) -> None:
    text = await project.text("find_pattern", **arguments)
    assert text.startswith(message)
    assert "\n" not in text
