import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.tools.presentation import DiffContent
from punie.tools.python.add_import import read_imports, with_imports
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio

HEAD = '#!/usr/bin/env python\n# License\n"""Doc."""\nfrom __future__ import annotations\n'

RELATIVE = "import o\nfrom . import b\nfrom ..c import d\n"


@pytest.mark.parametrize(
    ("text", "statement", "expected"),
    [
        ("", "import os", "import os"),
        ("x = os\n", "import os", "import os\n\nx = os\n"),
        (HEAD + "\nimport os\nos\n", "import sys", HEAD + "\nimport os\nimport sys\n\nos\n"),
        (HEAD + "x = 1\n", "import os", HEAD + "import os\n\nx = 1\n"),
        (
            "from typing import (\n    Any,  # any\n)\n",
            "from typing import Any, cast",
            "from typing import (\n    cast, Any,  # any\n)\n",
        ),
        ("import os\n", "import numpy as np", "import os\nimport numpy as np\n"),
        ("import o\n", RELATIVE.removeprefix("import o\n").rstrip(), RELATIVE),
        (HEAD, "from __future__ import division", HEAD.replace("import a", "import division, a")),
        ("import os.path\n", "import os", "import os.path\nimport os\n"),
        ("type X[T] = list[T]\n", "import os", "import os\n\ntype X[T] = list[T]\n"),
    ],
)
async def test_imports_come_to_the_top_and_only_once(
    bench: Bench, text: str, statement: str, expected: str
) -> None:
    path = bench.file("a.py", text)
    assert (await bench.text("add_import", path="a.py", statement=statement)).startswith("edited a")
    assert path.read_text() == expected
    again = await bench.text("add_import", path="a.py", statement=statement)
    assert again == "a.py imports that already"
    assert path.read_text() == expected


async def test_line_ends_and_mark_stay_and_the_diff_is_shown(bench: Bench) -> None:
    path = bench.file("a.py", "\ufeffimport os\r\nprint(os, sys)\r\n")
    shown = await bench.present("add_import", path="a.py", statement="import sys")
    (diff,) = shown.content
    assert isinstance(diff, DiffContent)
    assert diff.new_text == "import os\nimport sys\n\nprint(os, sys)\n"
    assert shown.title == "Import sys in a.py"
    text = await bench.text("add_import", path="a.py", statement="import sys")
    assert text.startswith("edited a.py:2:import sys")
    assert path.read_bytes().decode() == ("\ufeffimport os\r\nimport sys\r\n\r\nprint(os, sys)\r\n")


@pytest.mark.parametrize(
    ("text", "statement", "message"),
    [
        ("", "os", '"os" is no import; write one such as "from typing import Any"'),
        ("", "import os; os.remove('x')", "is no import"),
        ("", "import", "is no import"),
        ("def f(:\n", "import os", "a.py is not valid Python; correct it first"),
        (
            "x = 1\nfrom a import run\n",
            "from b import run",
            "run is something else in a.py already: from a import run; import",
        ),
        ("def run(): ...\n", "from b import run", "run is something else in a.py already: def run"),
        ("import a as os\n", "import os", "os is something else in a.py already"),
    ],
)
async def test_what_cannot_be_imported(
    bench: Bench, text: str, statement: str, message: str
) -> None:
    path = bench.file("a.py", text)
    answer = await bench.text("add_import", path="a.py", statement=statement)
    assert answer.startswith("error: ")
    assert message in answer
    assert path.read_text() == text


async def test_a_file_that_changed_is_refused(bench: Bench) -> None:
    bench.file("a.py", "x = 1\n")
    await bench.result("read_file", path="a.py")
    bench.file("a.py", "x = 2\n")
    text = await bench.text("add_import", path="a.py", statement="import os")
    assert text == "error: a.py changed since it was read; read it again first"
    bench.file("notes.txt", "")
    text = await bench.text("add_import", path="notes.txt", statement="import os")
    assert text == "error: notes.txt is not a Python file"


STATEMENTS = st.sampled_from(
    [
        "import a",
        "import a.b",
        "import a as c",
        "from a import b",
        "from a import b as d",
        "from . import e",
        "from .f import g",
        "from __future__ import annotations",
    ]
)
LINES = st.sampled_from(
    ['"""Doc."""', "# note", "", "x = 1", "if x:\n    import h", "@x\ndef i(): ..."]
)


@settings(max_examples=20)
@given(st.lists(STATEMENTS, max_size=4), st.lists(LINES, max_size=5), STATEMENTS)
def test_nothing_but_the_import_changes(
    imports: list[str], rest: list[str], statement: str
) -> None:
    futures = [each for each in imports if "__future__" in each]
    others = [each for each in imports if "__future__" not in each]
    text = "\n".join(["# head", *futures, *others, *rest]) + "\n"
    wanted = read_imports(statement)
    once = with_imports(text, wanted, "a.py")
    assert with_imports(once, wanted, "a.py") == once
    assert _imported(once) == _imported(text) | _imported(statement)
    assert _others(once) == _others(text)
    compile(once, "a.py", "exec")


def _imported(text: str) -> set[str]:
    return {
        ast.unparse(type(node)(**{**vars(node), "names": [name]}))
        for node in ast.parse(text).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in node.names
    }


def _others(text: str) -> list[str]:
    return [
        ast.unparse(node)
        for node in ast.parse(text).body
        if not isinstance(node, (ast.Import, ast.ImportFrom))
    ]
