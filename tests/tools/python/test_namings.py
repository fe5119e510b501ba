"""Where a file gives a word as a name, in programs put together at random."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from punie.tools.python.bindings import Bindings
from punie.tools.python.namings import has_member, namings

# What names `x`: the line, with `!` before the name, and its kind where that is not its place's.
NAMING = [
    ("!x = 1", None),
    ("é, (!x, y) = 'é', (1, 2)", None),
    ("def !x(): ...", None),
    ("async def !x(y): ...", None),
    ("class !x: ...", None),
    ("import a as !x", None),
    ("from é import x as !x", None),
    ("for !x in (): ...", None),
    ("with a as !x: ...", None),
    ("é = (!x := 1)", None),
    ("é.!x = x", "member"),
    ("def f(y, *, !x=1): ...", "parameter"),
    ("f = lambda !x: x", "parameter"),
    ("def f():\n    !x = 1", "local"),
    ("T = namedtuple('T', 'y !x')", "member"),
]
USING = ["x", "y.x()", "'x' # x", "f(x=x)", "del x", "print(x.y, xx)", "import x.y as z"]
BLOCKS = {"class C:": "member", "def g():": "local", "if y:": None, "try:": None}


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, list[tuple[str, int, int]]]:
    """Draw a program and where `x` is named in it."""
    lines: list[str] = []
    wanted: list[tuple[str, int, int]] = []

    def write(depth: int, kind: str) -> None:
        pad = "    " * depth
        for _ in range(draw(st.integers(1, 3))):
            code, own = draw(st.sampled_from([*NAMING, *((each, "") for each in USING)]))
            for line in code.split("\n"):
                if "!" in line:
                    column = len(pad) + line.index("!")
                    wanted.append((own or kind, len(lines) + 1, column))
                lines.append(pad + line.replace("!", ""))
            if depth < 3 and draw(st.booleans()):
                block = draw(st.sampled_from(sorted(BLOCKS)))
                lines.append(pad + block)
                write(depth + 1, BLOCKS[block] or kind)
                if block == "try:":
                    lines.append(pad + "finally: ...")

    write(0, "module")
    return "\n".join(lines), wanted


@given(programs())
def test_every_name_that_is_given_is_found_with_its_place(
    program: tuple[str, list[tuple[str, int, int]]],
) -> None:
    text, wanted = program
    # `from é import x as x` names the last of the two.
    found = [(each.kind, each.line, each.column) for each in namings(text, "x")]
    assert sorted(found) == sorted(wanted)
    assert has_member(text, "x") is any(kind == "member" for kind, _, _ in wanted)
    for _, line, column in found:
        assert text.split("\n")[line - 1][column] == "x"


def test_no_depth_of_code_is_too_much() -> None:
    text = "y = " + " + ".join(["z"] * 900) + "\nx = y\n"
    assert [each.line for each in namings(text, "x")] == [2]
    assert namings("def f(:", "x") == []


def test_where_a_value_comes_from() -> None:
    text = (
        "import a, b.c\nfrom d import e as f\ny = a.z\ndef g(p: f, q=1):\n    y = p\n"
        "    def h():\n        return y, q\n    return h(b)\nw = y\nv = g\nu = 1\n"
    )
    tree = ast.parse(text)
    bindings = Bindings(tree, text)
    values = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and node.col_offset == 0
    }
    told = {
        name: (
            sorted(each.package for each in bindings.origins(value).imports),
            bindings.origins(value).given,
        )
        for name, value in values.items()
    }
    assert told == {
        "y": (["a"], False),
        "w": (["a"], False),
        "v": (["b", "d"], True),
        "u": ([], False),
    }
