"""Code that nobody writes by hand does not end this process."""

import threading
from pathlib import Path

import libcst
import pytest

from punie.tools.python.nesting import is_too_deep
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio

MANY = 30_000
# Each overflows the stack in libcst, or takes it for ever.
DEEP = {
    "brackets": "x = {many}{end}\n".format(many="(" * MANY, end=")" * MANY),
    "signs": f"x = {'-' * MANY}1\n",
    "words": f"x = {'not ' * MANY}1\n",
    "attributes": f"x = a{'.b' * MANY}\n",
    "sums": f"x = 1{'+1' * MANY}\n",
    "lines": "x = 1{}\n".format("+\\\n1" * MANY),
    "lambdas": f"x = {'lambda a,: ' * MANY}1\n",
    "loops": f"x = [x {'for a, in b ' * MANY}]\n",
    "patterns": "match x:\n    case {}{}:\n        pass\n".format("{1: " * 30 + "a", "}" * 30),
    "in a field": "x = f'{{{}1{}}}'\n".format("(" * MANY, ")" * MANY),
    "fields": "x = {}1{}\n".format('f"{' * MANY, '}"' * MANY),
    "behind a brace in a string": "x = f\"{{'}}'}}\" + {}1{}\n".format("(" * MANY, ")" * MANY),
    "behind a quote in a field": 'x = f"{{a["("]}}" + {}1{}\n'.format("(" * MANY, ")" * MANY),
}
DEEP["elif"] = "if a: pass\n" + "elif a: pass\n" * MANY


@pytest.mark.parametrize("form", DEEP)
def test_what_is_too_deep(form: str) -> None:
    assert is_too_deep(DEEP[form])
    assert is_too_deep("import os\n\n\ndef f():\n    pass\n\n\n" + DEEP[form])


@pytest.mark.parametrize(
    "text",
    [
        "(" * 199 + ")" * 199,
        "x = [" + "{'a': (1, -2)}, " * 5_000 + "]",
        "f(" + "lambda a, b: a.b + b, " * 1_000 + ")",
        "x = 1\n" * 20_000,
        "x = '''" + "((((" * 1_000 + "'''",
        "# " + "((((" * 1_000,
        "x = rb'\\'((' + r\"\\\"[[\"" * 1,
        "x = f\"{', '.join(f'{y!r:>{z}}' for y in f\"{z}\")} {{ \\N{DASH} }}\" + rf'\\{x}'",
        'x = t"<{a} b={c:{d}.2f}>{e}</{a}>"\n' * 500,
        "if a:\n    pass\n" + "elif b:\n    pass\n" * 900,
        "match x:\n    case A(b=[C(d={'e': (f, *_)})]) | None:\n        pass\n",
        "async def f():\n" + "    await g(h)\n" * 2_000,
    ],
)
def test_what_is_not(text: str) -> None:
    assert not is_too_deep(text)


def test_what_is_deepest_is_parsed() -> None:
    """In a thread, whose stack is smaller than that of the program."""
    texts = [
        "x = " + "(lambda: " * 199 + "-" * 300 + "1" + ")" * 199,
        "x = " + "-" * 990 + "1",
        "x = 1" + " + 1" * 490,
        "if a: pass\n" + "elif a: pass\n" * 1_000,
        "match x:\n    case {1: {1: {1: {1: {1: 2}}}}}:\n        pass\n",
    ]
    assert not any(map(is_too_deep, texts))
    trees: list[libcst.Module] = []
    thread = threading.Thread(target=lambda: trees.extend(map(libcst.parse_module, texts)))
    thread.start()
    thread.join()
    assert len(trees) == len(texts)


def test_real_code_is_not(request: pytest.FixtureRequest) -> None:
    for path in (Path(request.config.rootpath) / "punie/tools").rglob("*.py"):
        assert not is_too_deep(path.read_text()), path


async def test_tools_leave_it_out(bench: Bench) -> None:
    bench.file("a.py", DEEP["signs"])
    bench.file("b.py", "async def f(): pass\n\n\nasync def g(): f()\n")
    text = await bench.text("validate")
    assert "b.py:4 async-not-awaited" in text
    assert "a.py is too deeply nested" in text
    text = await bench.text("add_import", path="a.py", statement="import os")
    assert text == "error: a.py is too deeply nested; correct it first"
    # Deeper than Python itself can follow.
    bench.file("a.py", f"x = 1{'+1' * 495}\n")
    text = await bench.text("add_import", path="a.py", statement="import os")
    assert text == "error: a.py is too deeply nested; use edit_file"
