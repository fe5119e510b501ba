"""rename_symbol: everything that is meant and nothing else, or nothing at all."""

import re
from typing import Any

import pytest

from punie.tools.base import ToolError
from punie.tools.presentation import DiffContent
from punie.tools.python import rename_symbol, renaming
from tests.tools.conftest import Bench, tool_named

pytestmark = pytest.mark.anyio


def marked(bench: Bench, files: dict[str, str], new: str) -> dict[str, str]:
    """Write files in which `<name>` marks what is to be renamed; return how they should become."""
    wanted: dict[str, str] = {}
    for name, text in files.items():
        bench.file(name, re.sub(r"<(\w+)>", r"\1", text))
        wanted[name] = re.sub(r"<\w+>", new, text)
    return wanted


def texts(bench: Bench, files: dict[str, str]) -> dict[str, str]:
    return {name: (bench.root / name).read_bytes().decode() for name in files}


CASES = {
    "a function, across files, in all forms of import": (
        {
            "pkg/__init__.py": "from .core import <total>\n__all__ = ['<total>', 'other']\n",
            "pkg/core.py": "def <total>(x: int) -> int:\n    return <total>(x - 1)\nother = 1\n",
            "use.py": (
                "import pkg\nfrom pkg import core\nfrom pkg.core import <total> as t\n"
                "print(pkg.<total>(1), core.<total>(2), t(3), f'{pkg.<total>(4)} total')\n"
                "total = 5  # total\nprint(total)\n"
            ),
        },
        {"symbol": "pkg.core.total", "new_name": "sum_up"},
    ),
    "methods that override, and what super reaches": (
        {
            "a.py": (
                "class Base:\n    def <go>(self, key=1): ...\n"
                "class Mid(Base): ...\n"
                "class Leaf(Mid):\n    def <go>(self, key=2): return super().<go>(key=key)\n"
                "class Other:\n    def go(self): ...\n"
                "Leaf().<go>()\nOther().go()\n"
            ),
            "b.py": (
                "from a import Base, Mid\nclass Far(Mid):\n    def <go>(self, key=3): ...\n"
                "def use(b: Base): b.<go>()\n"
            ),
        },
        {"symbol": "go", "path": "a.py:5", "new_name": "walk"},
    ),
    "a union of two classes takes both": (
        {
            "a.py": (
                "class A:\n    def <run>(self): ...\nclass B:\n    def <run>(self): ...\n"
                "def use(x: A | B): x.<run>()\n"
            )
        },
        {"symbol": "A.run", "new_name": "start"},
    ),
    "a parameter, with calls that name it": (
        {
            "a.py": (
                "def f(<size>, other=1):\n    size2 = <size>\n    return {'size': <size>}\n"
                "def g(size): return f(<size>=size)\n"
            ),
            "b.py": "from a import f\nf(<size>=2)\ndict(size=3)\n",
        },
        {"symbol": "size", "path": "a.py:1", "new_name": "width"},
    ),
    "attributes and properties": (
        {
            "a.py": (
                "class P:\n    def __init__(self): self.<_v> = 1\n"
                "    @property\n    def v(self): return self.<_v>\n"
                "    @v.setter\n    def v(self, new): self.<_v> = new\n"
            )
        },
        {"symbol": "_v", "path": "a.py:4", "new_name": "_value"},
    ),
    "attributes of instances, in classes below and above": (
        {
            "a.py": (
                "class A:\n    <name> = 'a'\nclass B(A):\n    <name> = 'b'\n"
                "class C(B):\n    def __init__(self): self.<name> = 'c'\n"
                "class Other:\n    def __init__(self): self.name = 'c'\n"
                "print(A().<name>, C().<name>, Other().name)\n"
            ),
            "b.py": (
                "from a import C\nclass D(C):\n    def reset(self):\n        self.<name> = ''\n"
                "        name = 1\n        return name, self.<name>\n"
            ),
        },
        {"symbol": "A.name", "new_name": "label"},
    ),
    "an attribute that only methods set": (
        {
            "a.py": (
                "class A:\n    def __init__(self, v): self.<v> = v\n"
                "class B(A):\n    def set(self, v): self.<v> = v\n"
            )
        },
        {"symbol": "self.v", "path": "a.py:4", "new_name": "value"},
    ),
    "a class, in quotes and annotations": (
        {
            "a.py": (
                "from __future__ import annotations\nfrom typing import cast\n"
                "class <Node>:\n    def next(self) -> <Node>: return cast('<Node>', self)\n"
                "    kids: 'list[<Node>]'\n"
            )
        },
        {"symbol": "Node", "new_name": "Tree"},
    ),
    "definitions of one name under conditions": (
        {
            "a.py": (
                "import sys\nif sys.argv:\n    def <h>(): ...\nelse:\n    def <h>(): ...\n<h>()\n"
            )
        },
        {"symbol": "h", "path": "a.py:3", "new_name": "helper"},
    ),
    "the alias of an import": (
        {"a.py": "import os as <o>\nprint(<o>.sep, <o>.path)\n"},
        {"symbol": "o", "path": "a.py:1", "new_name": "system"},
    ),
    "strings that name a member of what is known": (
        {
            "pkg/__init__.py": "",
            "pkg/core.py": (
                "'pkg.core.A.<go>'\nclass A:\n    def <go>(self): ...\n"
                "class B:\n    def go(self): ...\ndef use(a: A, b: B):\n"
                "    é = getattr(a, '<go>')(); getattr(b, 'go')\n"
                "    return hasattr(\n        a,\n        \"<go>\",\n    ), getattr(a, 'g' 'o')\n"
            ),
            "t.py": (
                "from unittest.mock import patch\nimport pkg.core\nfrom pkg.core import A, B\n"
                "def test(monkeypatch):\n    monkeypatch.setattr(A, '<go>', None)\n"
                "    monkeypatch.setattr('pkg.core.A.<go>', None)\n    patch.object(B, 'go')\n"
                "    patch.object(pkg.core.A, '<go>')\n    print('a go', 'go', 'pkg.core.B.go')\n"
            ),
        },
        {"symbol": "A.go", "path": "pkg/core.py", "new_name": "walk"},
    ),
    "strings with a full name": (
        {
            "pkg/__init__.py": "from pkg.core import <Node>\n",
            "pkg/core.py": "class <Node>:\n    x = 1\n",
            "t.py": "patch('pkg.core.<Node>.x', 'pkg.<Node>', 'pkg.core:<Node>', 'a.Node')\n",
        },
        {"symbol": "Node", "path": "pkg/core.py", "new_name": "Tree"},
    ),
    "strings after letters of several bytes": (
        {
            "a.py": (
                "class A:\n    def <go>(self): ...\ndef use(a: A):\n"
                "    é = getattr(a, '<go>')(); getattr('é', 'go'); getattr(a, '<go>')\n"
            )
        },
        {"symbol": "A.go", "new_name": "walk"},
    ),
    "a fixture, from a test that asks for it": (
        {
            "t/conftest.py": (
                "import pytest\n@pytest.fixture\ndef <db>(): ...\n"
                "@pytest.fixture(scope='session')\ndef user(<db>): return <db>.user\n"
            ),
            "t/test_a.py": (
                "import pytest\ndef test_a(<db>): <db>.x\ndef help(db): db.x\n"
                "class TestA:\n    async def test_b(self, user, *, <db>): <db>.x\n"
                "@pytest.mark.usefixtures('user', '<db>')\n"
                "def test_c(request): request.getfixturevalue('<db>'); print('db')\n"
                "@pytest.mark.parametrize('db', [1])\ndef test_d(db): db\n"
            ),
            "t/below/test_b.py": "@fixture\ndef <db>(<db>): return <db>\n",
            "other/test_c.py": "def test_e(db): db\n",
        },
        {"symbol": "db", "path": "t/test_a.py:2", "new_name": "store"},
    ),
    "a parameter of a test that is given values": (
        {
            "test_a.py": (
                "import pytest\n@pytest.mark.parametrize(('<size>', 'want'), [(1, 2)])\n"
                "@pytest.mark.parametrize('other, size2', [(1, 2)], ids=['size'])\n"
                "def test_a(<size>, want, other, size2): assert <size>\n"
                "@pytest.mark.parametrize('size', [1])\ndef test_b(size): size\n"
            ),
        },
        {"symbol": "size", "path": "test_a.py:4", "new_name": "width"},
    ),
    "keywords of a function that a decorator hides": (
        {
            "a.py": (
                "from other import deco\n@deco\ndef f(<size>, x=1): return <size>\n"
                "@deco\ndef g(size): return size\nclass A:\n    @deco\n    def m(self, size): ...\n"
                "f(<size>=f(\n    <size>=2,\n    x=1))\ng(size=1)\nA().m(size=1)\n"
            ),
            "b.py": "import a\ndef use(size, h): return a.f(<size>=size), h(size=1), h.f(size=2)\n",
        },
        {"symbol": "size", "path": "a.py:3", "new_name": "width"},
    ),
    "fields of a class that a decorator makes": (
        {
            "a.py": (
                "from other import attrs, field\n@attrs\nclass A:\n    <size> = field()\n"
                "@attrs\nclass B:\n    size = field()\n"
                "A(<size>=1).<size>\nB(size=1).size\n"
            )
        },
        {"symbol": "A.size", "path": "a.py", "new_name": "width"},
    ),
    "slots": (
        {
            "a.py": (
                "class A:\n    __slots__ = ('<size>', 'other')\n    __match_args__ = ('<size>',)\n"
                "    def __init__(self): self.<size> = 'size'\n"
                "class B:\n    __slots__ = ['size']\n    def __init__(self): self.size = 1\n"
            )
        },
        {"symbol": "self.size", "path": "a.py:4", "new_name": "width"},
    ),
    "a name that takes a builtin's": (
        {
            "a.py": "<sorted> = sorted\n__all__ = ['<sorted>']\nprint(<sorted>([]))\n",
            "b.py": "import a\nprint(a.<sorted>([]), sorted([]))\n",
        },
        {"symbol": "sorted", "path": "a.py:1", "new_name": "ordered"},
    ),
    "a local variable beside others of that name": (
        {
            "a.py": (
                "x = 1\ndef f():\n    <x> = 2\n    return [<x> for _ in '😀😀' if <x>]; print(x)\n"
                "def g(): return x\n"
            ).replace("; print(x)", "")
        },
        {"symbol": "x", "path": "a.py:3", "new_name": "long_name"},
    ),
}


@pytest.mark.parametrize(("files", "arguments"), CASES.values(), ids=CASES)
async def test_what_is_meant_is_renamed(
    bench: Bench, files: dict[str, str], arguments: dict[str, str]
) -> None:
    wanted = marked(bench, files, arguments["new_name"])
    text = await bench.text("rename_symbol", **arguments)
    assert texts(bench, wanted) == wanted, text
    places = sum(each.count("<") for each in files.values())
    assert f"renamed to {arguments['new_name']}: {places} place" in text


async def test_line_ends_and_marks_stay_and_all_of_the_diff_is_shown(bench: Bench) -> None:
    bench.file("a.py", "\ufeffone = 1; s = '😀'; two = one\r\n")
    bench.file("b.py", "from a import one\rfrom a import two\r\nprint('é', one)\n")
    arguments = {"symbol": "one", "path": "b.py:2", "new_name": "first"}
    shown = await bench.present("rename_symbol", **arguments)
    assert shown.title == "Rename one in b.py:2 to first: 2 files"
    assert [each.path.name for each in shown.content if isinstance(each, DiffContent)] == [
        "a.py",
        "b.py",
    ]
    assert (bench.root / "a.py").read_bytes().startswith(b"\xef\xbb\xbfone")
    await bench.result("rename_symbol", **arguments)
    assert (bench.root / "a.py").read_bytes().decode() == (
        "\ufefffirst = 1; s = '😀'; two = first\r\n"
    )
    assert (bench.root / "b.py").read_bytes().decode() == (
        "from a import first\rfrom a import two\r\nprint('é', first)\n"
    )


async def test_places_that_stay_are_told(bench: Bench) -> None:
    bench.file(
        "a.py",
        '"""total is here."""\ndef total(): ...\n\ndef use(thing):\n    thing.total()  # total\n'
        "getattr(use, 'total')\n",
    )
    text = await bench.text("rename_symbol", symbol="total", new_name="amount")
    assert text == (
        "renamed to amount: 1 place in 1 file: a.py\n"
        "left, as its type is not known, look whether it is meant:\n"
        "a.py:5:thing.total()  # total\n"
        "left in strings and comments, look whether it is meant:\n"
        'a.py:1:"""total is here."""\n'
        "a.py:5:thing.total()  # total\n"
        "a.py:6:getattr(use, 'total')"
    )


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("x = 1\n", {"symbol": "x", "new_name": "class"}, '"class" cannot be a name in Python'),
        ("x = 1\n", {"symbol": "x", "new_name": "a.b"}, '"a.b" cannot be a name in Python'),
        ("x = 1\n", {"symbol": "x", "new_name": "x"}, "it is called x already"),
        (
            "class A:\n    def __init__(self): ...\n",
            {"symbol": "__init__", "new_name": "init"},
            "__init__ has a meaning to Python itself and keeps its name",
        ),
        (
            "import os\nos.getcwd()\n",
            {"symbol": "getcwd", "path": "a.py:2", "new_name": "cwd"},
            "outside of the project: ",
        ),
        (
            "import os\nos.getcwd()\n",
            {"symbol": "os", "path": "a.py:1", "new_name": "so"},
            "os is a module; move its file and change the imports",
        ),
        (
            "import threading\nclass T(threading.Thread):\n    def run(self): ...\n",
            {"symbol": "T.run", "new_name": "go"},
            "T.run overrides what is defined outside of the project: ",
        ),
        (
            "def f(): ...\ndef g(): ...\nf()\n",
            {"symbol": "f", "new_name": "g"},
            "there is a g already: a.py:",
        ),
        (
            "x = 1\ndef f():\n    y = 2\n    return x + y\n",
            {"symbol": "x", "path": "a.py:1", "new_name": "y"},
            "there is a y already: a.py:4 would then mean another",
        ),
        (
            "def f(len2):\n    return len('a') + len2\n",
            {"symbol": "len2", "path": "a.py:1", "new_name": "len"},
            "there is a len already: a.py:2 would then mean another",
        ),
        (
            "class A:\n    def f(self): ...\nclass B(A):\n    def g(self): ...\n",
            {"symbol": "A.f", "new_name": "g"},
            "A or a class below it has a g already: a.py:4",
        ),
        (
            "class A:\n    def __init__(self): self.g = 1\nclass B(A):\n    def f(self): ...\n",
            {"symbol": "B.f", "new_name": "g"},
            "B or a class below it has a g already: a.py:2",
        ),
        (
            "class A:\n    def g(self): ...\nclass B(A):\n    def f(self): ...\n",
            {"symbol": "B.f", "new_name": "g"},
            "B or a class below it has a g already: a.py:2",
        ),
        (
            "class A:\n    def pop(self): ...\ndef f(x: A | list[int]): x.pop()\n",
            {"symbol": "A.pop", "new_name": "take"},
            "pop is defined outside of the project: ",
        ),
        (
            "def test_a(tmp_path): return tmp_path\n",
            {"symbol": "tmp_path", "path": "a.py:1", "new_name": "folder"},
            "a.py:1 gets tmp_path by its name from a fixture that is not the project's",
        ),
        (
            "def f(: ...\nx = 1\nprint(x)\n",
            {"symbol": "x", "path": "a.py:2", "new_name": "y"},
            "a.py is not valid Python; correct it first",
        ),
    ],
)
async def test_what_would_break_the_code_is_refused(
    bench: Bench, text: str, arguments: dict[str, str], message: str
) -> None:
    bench.file("a.py", text)
    answer = await bench.text("rename_symbol", **arguments)
    assert answer.startswith("error: ")
    assert message in answer
    assert "\n" not in answer
    assert (bench.root / "a.py").read_text() == text


async def test_a_file_that_changed_since_it_was_read_stops_all_of_it(bench: Bench) -> None:
    bench.file("a.py", "one = 1\n")
    bench.file("b.py", "from a import one\n")
    await bench.result("read_file", path="b.py")
    bench.file("b.py", "from a import one  # mine\n")
    text = await bench.text("rename_symbol", symbol="one", new_name="two")
    assert text == "error: b.py changed since it was read; read it again first"
    assert (bench.root / "a.py").read_text() == "one = 1\n"


async def test_installed_and_hidden_code_is_not_the_project_s(bench: Bench) -> None:
    bench.file(".venv/pyvenv.cfg", "home = /usr/bin\n")
    bench.file(".venv/bin/python", "")
    (bench.root / ".venv/bin/python").chmod(0o755)
    bench.file(".venv/lib/python3.11/site-packages/lib.py", "def helper(): ...\n")
    bench.file("a.py", "from lib import helper\nhelper()\n")
    text = await bench.text("rename_symbol", symbol="helper", path="a.py:2", new_name="h")
    assert "outside of the project: .venv/lib" in text


async def test_an_alias_cannot_become_that_of_another_module(bench: Bench) -> None:
    bench.file("a.py", "import os as o\nimport sys\nprint(o.sep, sys.path)\n")
    text = await bench.text("rename_symbol", symbol="o", path="a.py:1", new_name="sys")
    assert text.startswith("error: there is a sys already: a.py:")


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which every working out of a rename adds its new name."""
    names: list[str] = []
    plan = renaming.plan_rename

    async def counted(*arguments: Any) -> Any:
        names.append(arguments[2])
        return await plan(*arguments)

    monkeypatch.setattr(rename_symbol, "plan_rename", counted)
    return names


async def test_what_was_shown_is_done_without_working_it_out_again(
    bench: Bench, worked_out: list[str]
) -> None:
    bench.file("a.py", "one = 1\nprint(one)\n")
    arguments = {"symbol": "one", "new_name": "two"}
    await bench.present("rename_symbol", **arguments)
    await bench.result("rename_symbol", **arguments)
    assert worked_out == ["two"]
    assert (bench.root / "a.py").read_text() == "two = 1\nprint(two)\n"
    # The same call again finds other files.
    assert "the project defines no one" in await bench.text("rename_symbol", **arguments)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ("a.py", "one = 1\nprint(one, one)\n"),
        ("b.py", "from a import one\nprint(one)\n"),
        ("c.py", "from a import A\nclass B(A):\n    two = 2\n"),
    ],
)
async def test_what_changed_since_it_was_shown_has_it_worked_out_anew(
    bench: Bench, worked_out: list[str], changed: str, text: str
) -> None:
    bench.file("a.py", "class A:\n    one = 1\none = 1\n" if changed == "c.py" else "one = 1\n")
    bench.file("c.py", "")
    where = {"symbol": "A.one"} if changed == "c.py" else {"symbol": "one", "path": "a.py"}
    arguments = {**where, "new_name": "two"}
    await bench.present("rename_symbol", **arguments)
    bench.file(changed, text)
    tool = tool_named("rename_symbol")
    parsed = tool.arguments.model_validate(arguments)
    if changed == "c.py":
        with pytest.raises(ToolError, match=r"A or a class below it has a two already: c\.py:3"):
            await tool.run(bench.context, parsed)
    else:
        await tool.run(bench.context, parsed)
        assert (bench.root / changed).read_text() == text.replace("one", "two")
    assert worked_out == ["two", "two"]


async def test_what_a_plugin_gives_by_name_keeps_it(bench: Bench) -> None:
    bench.file("test_a.py", "def test_a(mocker, x=1): return mocker, x\n")
    text = await bench.text("rename_symbol", symbol="mocker", path="test_a.py", new_name="m")
    assert text.startswith("error: test_a.py:1 gets mocker by its name from a fixture that is not")
    bench.file("test_a.py", "@patch('b')\ndef test_a(mocker, x=1): return mocker, x\n")
    await bench.result("rename_symbol", symbol="mocker", path="test_a.py:2", new_name="m")
    await bench.result("rename_symbol", symbol="x", path="test_a.py:2", new_name="y")
    assert (bench.root / "test_a.py").read_text() == (
        "@patch('b')\ndef test_a(m, y=1): return m, y\n"
    )


async def test_strings_that_are_a_private_name_in_its_file(bench: Bench) -> None:
    files = {
        "a.py": (
            "class A:\n    def __init__(self): self.<_v> = 1\n"
            "    def f(self): return {k for k in self.__dict__ if k != '<_v>'}, '_v '\n"
        ),
        "b.py": "x = {'_v': 1}\n",
    }
    wanted = marked(bench, files, "_w")
    text = await bench.text("rename_symbol", symbol="self._v", path="a.py:2", new_name="_w")
    assert texts(bench, wanted) == wanted, text
    assert "renamed by elimination, as its type is not known, look whether" in text
