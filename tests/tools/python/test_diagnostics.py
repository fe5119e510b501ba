"""Edits that bring problems say so, with the real ruff and ty."""

import logging
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.tools.python import diagnostics
from punie.tools.python.diagnostics import Change, with_diagnostics
from punie.tools.python.problems import of_server
from punie.tools.python.ty import check_paths
from punie.workspace.base import ProgramRequest, ProgramResult, WorkspaceError
from punie.workspace.local import LocalWorkspace
from punie.workspace.lsp.client import LanguageServer
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio

OLD = """import os


def twice(x: int) -> int:
    return x * 2 + missing
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the checks however busy the machine is."""
    monkeypatch.setattr(diagnostics, "BEFORE_SECONDS", 60.0)
    monkeypatch.setattr(diagnostics, "AFTER_SECONDS", 60.0)


def told(text: str) -> list[str]:
    """Return the rows below the edit's own line, without what they say."""
    first, *rows = text.splitlines()
    assert not first.startswith("error")
    assert rows[:1] in ([], ["new problems:"])
    return [row.partition(": ")[0] for row in rows[1:]]


async def edit(bench: Bench, old: str, new: str) -> str:
    return await bench.text("edit_file", path="a.py", edits=[{"old_text": old, "new_text": new}])


async def test_what_the_edit_brought_and_nothing_else(bench: Bench) -> None:
    bench.file("a.py", OLD)
    assert await edit(bench, "def twice", "X = 1\n\n\ndef twice") == "edited a.py: 1 replacement"
    result = await bench.result(
        "edit_file",
        path="a.py",
        edits=[{"old_text": "X = 1\n", "new_text": "X = len(1)\nprint(undefined)\n"}],
    )
    assert told(result.text) == ["a.py:4 invalid-argument-type", "a.py:5 F821"]
    assert "a.py:5 F821: Undefined name `undefined`" in result.text
    shown = result.presentation.content[-1]
    assert shown.type == "text"
    assert "a.py:5 F821: Undefined name" in shown.text
    # What is used nowhere any more is in a line that the edit left as it is.
    bench.file("a.py", "import os\n\nprint(os)\n")
    bench.context.reads.digests.clear()
    assert told(await edit(bench, "print(os)", "print(1)")) == ["a.py:1 F401"]


async def test_where_nobody_wants_to_know(bench: Bench) -> None:
    bench.file("a.py", OLD)
    bench.context = replace(bench.context, check_edits="off")
    assert await edit(bench, "x * 2", "y * 2") == "edited a.py: 1 replacement"


async def test_a_signature_that_no_longer_fits_its_calls(bench: Bench) -> None:
    bench.file("a.py", "def f(x: int) -> int:\n    return x\n\n\nprint(f(1))\n")
    assert told(await edit(bench, "x: int", "x: str")) == [
        "a.py:2 invalid-explicit-return",
        "a.py:5 invalid-argument-type",
    ]


async def test_new_files_and_patches_and_moves(bench: Bench) -> None:
    assert told(await bench.text("write_file", path="a.py", content=OLD)) == [
        "a.py:1 F401",
        "a.py:5 F821",
    ]
    assert await bench.text("write_file", path="a.py", content=OLD + "\n\nX = 1\n") == (
        "replaced a.py: 8 lines"
    )
    patch = (
        "*** Begin Patch\n*** Add File: b.py\n+print(new)\n*** Update File: a.py\n"
        "*** Move to: pkg/c.py\n@@\n-X = 1\n+X = other\n*** End Patch"
    )
    text = await bench.text("apply_patch", patch=patch)
    rows = [line for line in text.splitlines() if " F" in line]
    assert [row.partition(":")[0] for row in rows] == ["b.py", "pkg/c.py"]
    bench.file("pkg/__init__.py", "")
    bench.file("pkg/d.py", "from .c import twice\n\nprint(twice)\n")
    assert told(await bench.text("move", path="pkg/d.py", to="pkg/e.py")) == []
    assert len(told(await bench.text("move", path="pkg/e.py", to="e.py"))) == 1
    assert await bench.text("delete", path="e.py") == "deleted e.py"


async def test_what_cannot_be_parsed_is_all_that_is_said(bench: Bench) -> None:
    bench.file("a.py", OLD)
    rows = told(await edit(bench, "def twice(", "def twice(("))
    assert {row.partition(" ")[2] for row in rows} == {"invalid-syntax"}


async def test_beyond_what_is_essential_the_project_chooses(bench: Bench) -> None:
    text = "def f(l):\n    x = l == None\n    return x\n"
    assert told(await bench.text("write_file", path="a.py", content=text)) == []
    bench.file("pkg/pyproject.toml", '[tool.ruff.lint]\nselect = ["E7"]\n')
    assert told(await bench.text("write_file", path="pkg/a.py", content=text)) == [
        "pkg/a.py:1 E741",
        "pkg/a.py:2 E711",
    ]


async def test_many_are_cut(bench: Bench) -> None:
    text = "".join(f"print(missing{n})\n" for n in range(30))
    said = await bench.text("write_file", path="a.py", content=text)
    assert len(said.splitlines()) == 11
    assert said.endswith("(and 22 more; see lint and check_types)")


@pytest.mark.parametrize("name", ["notes.txt", "script", "a.js"])
async def test_other_files_are_not_checked(bench: Bench, name: str) -> None:
    text = await bench.text("write_file", path=name, content="print(missing)\n")
    assert text == f"created {name}: 1 line"


class Slow(LocalWorkspace):
    """The language server takes its time, and programs cannot be started."""

    async def language_server(self, path: Path) -> LanguageServer:
        await anyio.sleep_forever()
        raise AssertionError

    async def run_program(self, request: ProgramRequest) -> ProgramResult:
        raise WorkspaceError("it cannot be started")


async def test_whatever_becomes_of_the_checks_the_edit_has_succeeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(diagnostics, "BEFORE_SECONDS", 0.05)
    monkeypatch.setattr(diagnostics, "AFTER_SECONDS", 0.05)
    (tmp_path / "a.py").write_text(OLD)
    bench = Bench(tmp_path, ToolContext(Slow([tmp_path]), ReadLedger()))
    with caplog.at_level(logging.DEBUG, logger="punie.tools.python.diagnostics"):
        assert await edit(bench, "missing", "other") == "edited a.py: 1 replacement"
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert "took too long" in caplog.text
    assert "cannot be started" in caplog.text


async def test_the_edited_text_is_checked_whatever_the_ide_has_saved(bench: Bench) -> None:
    bench.file("a.py", "def f() -> int:\n    return 1\n")
    result = await bench.result("read_file", path="a.py")
    new = "def f() -> int:\n    return 'b'\n\n\nprint(missing)\n"
    change = Change(bench.root / "a.py", "def f() -> int:\n    return 1\n", new)
    rows = (await with_diagnostics(bench.context, result, [change])).text.splitlines()[-2:]
    assert [row.partition(": ")[0] for row in rows] == [
        "a.py:2 invalid-explicit-return",
        "a.py:5 F821",
    ]


async def test_what_comes_of_another_file_of_the_same_edit(bench: Bench) -> None:
    bench.file("gone.py", "def f(x: int) -> int:\n    return x\n")
    bench.file("a.py", "from gone import f\nfrom never import g\n\nprint(f(1), g)\n")
    patch = (
        "*** Begin Patch\n*** Delete File: gone.py\n*** Update File: a.py\n@@\n"
        "-print(f(1), g)\n+print(f(2), g)\n*** End Patch"
    )
    text = await bench.text("apply_patch", patch=patch)
    rows = text.partition("new problems:\n")[2].splitlines()
    assert [row.partition(": ")[0] for row in rows] == ["a.py:1 import-not-found"]


async def test_the_server_says_what_the_command_line_says(bench: Bench) -> None:
    """In one file that is broken and in one that is not, with lines that are no lines of Python."""
    bench.file("pyproject.toml", '[tool.ty.rules]\npossibly-unresolved-reference = "warn"\n')
    bench.file("broken.py", "def f(:\n    '😀'; x: int = 'a'\n")
    bench.file(
        "a.py",
        "\ufefffrom typing import reveal_type\r\nimport never\r\n'😀'; x: int = 'a'\r\n"
        "def f(a: int) -> str: return a\r\nf('x', 1)\r\n'x'.nothing\r\nreveal_type(x)\r\n"
        "if x: y = 1\r\nprint(y, missing)\r\ndef unused() -> None:\r\n    z = 1\r\n",
    )
    paths = [bench.root / "a.py", bench.root / "broken.py"]
    server = await bench.context.workspace.language_server(bench.root)
    found = await server.diagnostics(paths, {})
    said = await check_paths(bench.context, paths, bench.root)
    assert said is not None
    assert {problem.severity for problem in said} == {"error", "warning", "info"}
    for path in paths:
        expected = [problem for problem in said if problem.path == path]
        assert expected
        assert sorted(map(of_server, found[path]), key=repr) == sorted(expected, key=repr)


async def test_an_edit_asks_the_server_that_runs_and_starts_one_program(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    run = LocalWorkspace.run_program

    async def counted(self: LocalWorkspace, request: ProgramRequest) -> ProgramResult:
        started.append(Path(request.arguments[0]).name)
        return await run(self, request)

    monkeypatch.setattr(LocalWorkspace, "run_program", counted)
    bench.file("a.py", "x: int = 1\n")
    server = await bench.context.workspace.language_server(bench.root)
    assert await edit(bench, "= 1", "= 2") == "edited a.py: 1 replacement"
    number = server.process_id
    assert number is not None
    assert told(await edit(bench, "= 2", "= ''")) == ["a.py:1 invalid-assignment"]
    assert (server.process_id, started) == (number, ["ruff", "ruff"])


async def test_a_change_outside_of_every_root_is_no_error(bench: Bench) -> None:
    result = await bench.result("write_file", path="a.txt", content="")
    change = Change(Path("/nowhere/a.py"), None, "print(missing)\n")
    assert await with_diagnostics(bench.context, result, [change]) == result


async def test_what_only_has_another_name_is_not_new(bench: Bench) -> None:
    bench.file("lib.py", "def helper(x: int) -> int:\n    return x\n")
    bench.file("use.py", "from lib import helper\n\n\ndef use() -> None:\n    helper('a')\n")
    bench.file("app.py", "from lib import helper\n")
    text = await bench.text("rename_symbol", symbol="helper", new_name="aid")
    assert text.startswith("renamed to aid: 4 places in 3 files: ")
    assert "new problems" not in text
