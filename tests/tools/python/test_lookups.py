"""symbols, definition, references and hover on a small project."""

from pathlib import Path

import pytest

from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio

SHAPES = """\
class Shape:
    sides = 0

    def area(self, scale: int = 1) -> int:
        \"\"\"Return the area.\"\"\"
        return scale


class Square(Shape):
    def area(self, scale: int = 1) -> int:
        return 4 * scale


def total(shapes: "list[Shape]") -> int:
    return sum(shape.area(scale=2) for shape in shapes)
"""
USE = """\
import os
from pkg.shapes import Shape, total

print(total([Shape()]), os.path.join("a", "b"))  # total
"""


@pytest.fixture
def project(bench: Bench) -> Bench:
    bench.file("pkg/__init__.py", "")
    bench.file("pkg/shapes.py", SHAPES)
    bench.file("use.py", USE)
    return bench


async def test_symbols(project: Bench) -> None:
    assert await project.text("symbols", path="pkg/shapes.py") == (
        "1:class Shape:\n"
        "2:  sides = 0\n"
        "4:  def area(self, scale: int = 1) -> int:\n"
        "9:class Square(Shape):\n"
        "10:  def area(self, scale: int = 1) -> int:\n"
        '14:def total(shapes: "list[Shape]") -> int:'
    )
    assert await project.text("symbols", path="pkg/shapes.py", symbol="Square.area") == (
        "10:def area(self, scale: int = 1) -> int:"
    )
    result = await project.result("symbols", symbol="area")
    assert result.text.splitlines() == [
        "pkg/shapes.py:4:def area(self, scale: int = 1) -> int:",
        "pkg/shapes.py:10:def area(self, scale: int = 1) -> int:",
    ]
    assert result.data == [
        {"path": "pkg/shapes.py", "line": 4, "name": "pkg.shapes.Shape.area", "kind": "method"},
        {"path": "pkg/shapes.py", "line": 10, "name": "pkg.shapes.Square.area", "kind": "method"},
    ]
    assert result.presentation.title == 'Symbols "area": 2 symbols'
    assert await project.text("symbols", symbol="Circle") == (
        "(no symbols of that name; search for it)"
    )
    short = await project.limited(result_chars=160).text("symbols", path="pkg/shapes.py")
    assert short.endswith("(first 2 of 6; give a symbol, or read the file)")


async def test_definition(project: Bench) -> None:
    total = 'pkg/shapes.py:14:def total(shapes: "list[Shape]") -> int:'
    for arguments in (
        {"symbol": "total", "path": "use.py:4"},
        {"symbol": "total", "path": "use.py"},
        {"symbol": "total"},
        {"symbol": "pkg.shapes.total"},
        {"symbol": "total", "path": "pkg/shapes.py"},
    ):
        assert await project.text("definition", **arguments) == total
    text = await project.text("definition", symbol="area", path="pkg/shapes.py:15")
    assert text == "pkg/shapes.py:4:def area(self, scale: int = 1) -> int:"
    # Other people's code is shown, a line of it.
    result = await project.result("definition", symbol="os.path.join", path="use.py:4")
    assert "posixpath" in result.text
    assert "def join(" in result.text
    assert Path(result.presentation.locations[0].path).is_absolute()


async def test_references(project: Bench) -> None:
    result = await project.result("references", symbol="total")
    assert result.text.splitlines() == [
        'pkg/shapes.py:14:def total(shapes: "list[Shape]") -> int:',
        "use.py:2:from pkg.shapes import Shape, total",
        'use.py:4:print(total([Shape()]), os.path.join("a", "b"))  # total',
    ]
    assert result.presentation.title == "References to total: 3 lines"
    assert [place.line for place in result.presentation.locations] == [14, 2, 4]
    # In quotes as well, and as the name of an argument.
    text = await project.text("references", symbol="Shape", path="pkg/shapes.py")
    assert 'pkg/shapes.py:14:def total(shapes: "list[Shape]") -> int:' in text.splitlines()
    text = await project.text("references", symbol="scale", path="pkg/shapes.py:4")
    assert "pkg/shapes.py:15:return sum(shape.area(scale=2) for shape in shapes)" in text
    short = await project.limited(result_chars=200).text("references", symbol="total")
    assert short.endswith("(first 1 of 3; search with a path for the others)")


async def test_hover(project: Bench) -> None:
    text = await project.text("hover", symbol="area", path="pkg/shapes.py:15")
    assert text.startswith("bound method Shape.area(scale: int = 1) -> int")
    assert "Return the area." in text
    assert await project.text("hover", symbol="Shape.sides") == "Literal[0]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"symbol": "area"}, "error: 2 symbols are called area; give one's path:line: "),
        ({"symbol": "circle"}, "error: the project defines no circle; give the path:line of"),
        (
            {"symbol": "total", "path": "use.py:1"},
            "is not on line 1 of use.py, it is on lines 2, 4",
        ),
        ({"symbol": "nope", "path": "use.py:1"}, "nope is not on line 1 of use.py, nor elsewhere"),
        ({"symbol": "nope", "path": "use.py"}, "nope is not in use.py; symbols shows what is"),
        ({"symbol": "total", "path": "use.py:9"}, "use.py has 4 lines, and so no line 9"),
        ({"symbol": "a b"}, 'error: "a b" is no name; give one as it stands in the code'),
        ({"symbol": "x", "path": "notes.txt"}, "error: notes.txt is not a Python file"),
        ({"symbol": "x", "path": "none.py:1"}, "error: there is no file none.py"),
        ({"symbol": "x", "path": "../x.py:1"}, "error: ../x.py is outside the workspace"),
    ],
)
async def test_what_cannot_be_found_is_told(
    project: Bench, arguments: dict[str, str], message: str
) -> None:
    project.file("notes.txt", "x")
    text = await project.text("definition", **arguments)
    assert text.startswith("error: ")
    assert message in text
    assert "\n" not in text


async def test_broken_code_is_no_obstacle(bench: Bench) -> None:
    bench.file("a.py", "def f(:\n    x = 'open\n\ndef good() -> int:\n    return 1\n\ngood()\n")
    assert await bench.text("definition", symbol="good", path="a.py:7") == (
        "a.py:4:def good() -> int:"
    )
    assert "4:def good() -> int:" in await bench.text("symbols", path="a.py")
