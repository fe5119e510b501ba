"""rename_symbol where types are not known: what can be nothing else is renamed, and told."""

import shutil

import pytest

from punie.tools.presentation import TextContent
from tests.tools.conftest import Bench
from tests.tools.python.test_rename_symbol import marked, texts

pytestmark = pytest.mark.anyio

A = "class A:\n    def <total>(self): ...\n"
OWN = {"symbol": "A.total", "new_name": "amount"}

# In pieces of text: `<total>` is renamed, `total` is not.
CASES = {
    "an argument": {"a.py": A, "b.py": "def use(x):\n    x.<total>()\n    x.y[0].<total>()\n"},
    "what is made of an argument": {
        "a.py": f"{A}def use(x):\n    for y in x:\n        z = y\n        z.<total>()\n"
    },
    "what a function without a type gives": {
        "a.py": f"{A}def make(): return A()\ndef use():\n    x = make()\n    x.<total>()\n"
    },
    "a mixin's own object": {"a.py": f"{A}class M:\n    def f(self): return self.<total>()\n"},
    "another class that has one": {
        "a.py": f"{A}class B:\n    def total(self): ...\ndef use(x): x.total()\n"
    },
    "another class, and the same spelling where the type is known": {
        "a.py": (
            f"{A}class B:\n    total = 1\ndef use(x: A, y: B): return x.<total>(), y.total\n"
            "def f(x, y, z): return x.<total>(), y.total, z.total\n"
        )
    },
    "another class, and a spelling that means both": {
        "a.py": (
            f"{A}class B:\n    total = 1\ndef f(x: A): x.<total>()\ndef g(x: B): x.total\n"
            "def h(x): x.total()\n"
        )
    },
    "the same variable in code that is held for unreachable": {
        "a.py": (
            f"{A}    x: int = 1\nclass B:\n    def total(self): ...\ndef f(x: B): x.total()\n"
            "def g(x: A):\n    x.<total>()\n    assert x.x is 1\n    assert x.x is 2\n"
            "    raise ValueError\n    x.<total>()\n    y.total()\n"
        )
    },
    "an attribute that something else is given": {
        "a.py": f"{A}def f(): ...\nf.total = 1\ndef use(x): x.total()\n"
    },
    "an attribute that is set on an argument": {
        "a.py": f"{A}def use(x):\n    x.<total> = 1\ndef f(y): y.<total>()\n"
    },
    "a string that names a member of an argument": {
        "a.py": f"{A}def use(x, y: str):\n    getattr(x, '<total>')\n    getattr(y, 'total')\n"
    },
    "a class below one that is not known": {
        "a.py": A,
        "b.py": (
            "class Checks:\n    Made = None\n    def check(self):\n"
            "        class Below(self.Made):\n            def <total>(self): ...\n"
            "        Below().<total>()\n        self.Made().<total>()\n"
        ),
    },
    "a class below one that is known": {
        "a.py": (
            f"{A}from typing import Generic, TypeVar, NamedTuple\nT = TypeVar('T')\n"
            "class B(Generic[T]):\n    def total(self): ...\ndef use(x): x.total()\n"
        )
    },
    "a class below one that is not installed": {
        "a.py": A,
        "b.py": "import nope\nclass B(nope.Base):\n    def total(self): ...\n",
        "c.py": "def use(x): x.total()\n",
    },
    "what is known not to have it": {
        "a.py": f"{A}class B: ...\nb = B()\nb.total()\ndef use(x): x.<total>()\n"
    },
    "other people's values": {
        "a.py": (
            f"{A}import json\ndef use(x):\n    y = json.loads(x)\n    z = y\n    z.total()\n"
            "    x.<total>()\n"
        )
    },
    "a module that is not installed": {
        "a.py": A,
        "b.py": "import nope\ndef use(x): x.total()\nnope.total()\n",
        "c.py": "def use(x): x.<total>()\n",
    },
    "a module that the code can do without": {
        "a.py": A,
        "b.py": (
            "try:\n    import nope\nexcept ImportError:\n    nope = None\n"
            "def use(x, y: nope.Y): x.<total>(); y.total(); nope.total()\n"
        ),
    },
    "a local variable of that name, and a function": {
        "a.py": f"{A}def total(): ...\ndef use(x):\n    total = 1\n    return x.<total>(), total\n"
    },
    "a class that an installed package has": {
        ".venv/pyvenv.cfg": "home = /usr/bin\n",
        ".venv/lib/python3.11/site-packages/lib/__init__.py": "",
        ".venv/lib/python3.11/site-packages/lib/inner.py": (
            "class L:\n    def __init__(self): self.total = 1\n"
        ),
        "a.py": A,
        "b.py": "import lib\n",
        "c.py": "def use(x): x.total()\n",
    },
    "an installed package that the project does not import": {
        ".venv/pyvenv.cfg": "home = /usr/bin\n",
        ".venv/lib/python3.11/site-packages/lib.py": "class L:\n    total = 1\n",
        "a.py": A,
        "c.py": "def use(x): x.<total>()\n",
    },
}


async def test_only_what_can_be_nothing_else_is_renamed(bench: Bench) -> None:
    # One project after the other in one folder, for one start of the server.
    for case, files in CASES.items():
        for old in [*bench.root.iterdir()]:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        bench.context.reads.digests.clear()
        if ".venv/pyvenv.cfg" in files:
            bench.file(".venv/bin/python", "").chmod(0o755)
        wanted = marked(bench, files, "amount")
        text = await bench.text("rename_symbol", **OWN)
        assert texts(bench, wanted) == wanted, f"{case}: {text}"


STANDARD_LIBRARY = [
    ("items", "", False),
    ("read", "", False),
    ("setattr", "", False),
    ("exit", "", True),
    ("exit", "import argparse\n", False),
    ("cancel", "import asyncio\n", False),
    ("cancel", "", True),
    ("walk", "import os\ndef f(os): os.walk()\n", True),
    ("exit", "import argparse\ndef f(x: A): x.exit()\n", True),
    ("exit", "import argparse\nx = argparse.ArgumentParser()\ndef f(x: A): x.exit()\n", False),
]


async def test_members_of_the_standard_library_are_not_taken(bench: Bench) -> None:
    for name, more, renamed in STANDARD_LIBRARY:
        bench.context.reads.digests.clear()
        bench.file("a.py", f"class A:\n    def {name}(self): ...\n{more}")
        bench.file("b.py", f"def use(x): x.{name}()\n")
        await bench.result("rename_symbol", symbol=f"A.{name}", new_name="new_one")
        changed = "new_one" in (bench.root / "b.py").read_text()
        assert changed is renamed, (name, more)
        assert "os.walk()" in (bench.root / "a.py").read_text() or "os" not in more


async def test_names_of_modules_that_are_made_as_the_program_runs(bench: Bench) -> None:
    files = {
        "core.py": "def <total>(): ...\n",
        "dyn/__init__.py": "import sys\nsys.modules['dyn'] = sys.modules['core']\n",
        "use.py": (
            "import dyn, core, nope\nimport dyn.sub\nprint(dyn.<total>, dyn.sub.<total>)\n"
            "print(core.<total>, nope.total, nope.sub.total)\ndef f(dyn): dyn.total\n"
        ),
    }
    wanted = marked(bench, files, "amount")
    text = await bench.text("rename_symbol", symbol="core.total", new_name="amount")
    assert texts(bench, wanted) == wanted, text


async def test_a_name_of_two_modules_is_left(bench: Bench) -> None:
    bench.file("core.py", "def total(): ...\n")
    bench.file("dyn/__init__.py", "")
    bench.file("dyn/other.py", "total = 1\n")
    bench.file("use.py", "import dyn\ndyn.total\n")
    text = await bench.text("rename_symbol", symbol="core.total", new_name="amount")
    assert (bench.root / "use.py").read_text() == "import dyn\ndyn.total\n"
    assert "left, as its type is not known, look whether it is meant:\nuse.py:2:dyn.total" in text


async def test_it_is_told_which_places_those_are(bench: Bench) -> None:
    bench.file("a.py", "class A:\n    def total(self): ...\n")
    bench.file("b.py", "def use(x, y):\n    return x.total() + y.total(),\\\n        x.total\n")
    shown = await bench.present("rename_symbol", **OWN)
    assert shown.content[0] == TextContent(
        text="By elimination, as the type is not known: b.py:2, b.py:3."
    )
    assert await bench.text("rename_symbol", **OWN) == (
        "renamed to amount: 4 places in 2 files: a.py, b.py\n"
        "renamed by elimination, as its type is not known, look whether it is meant:\n"
        "b.py:2:return x.total() + y.total(),\\\n"
        "b.py:3:x.total"
    )
