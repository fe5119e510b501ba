"""lint, format and check_types on real projects, with the real ruff and ty."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from punie.agent.permissions.choices import offers
from punie.agent.permissions.judging import (
    FilesCall,
    Forbidden,
    Place,
    ReadCall,
    describe_call,
    judge,
)
from punie.agent.permissions.rules import EDITS, AnyCall, PathPattern, Rule
from punie.tools.base import ReadLedger, ToolContext
from punie.tools.presentation import DiffContent
from punie.tools.python.problems import ProblemData
from punie.workspace.base import TextFile
from punie.workspace.local import LocalWorkspace
from tests.tools.conftest import Bench, tool_named

pytestmark = pytest.mark.anyio

CLEAN = '"""Fine."""\n'


async def test_lint_says_what_is_wrong_where(bench: Bench) -> None:
    bench.file("ruff.toml", 'lint.select = ["F"]\n')
    bench.file("a.py", "import os\n\n\ndef f():\n    return undefined\n")
    bench.file("pkg/b.py", "def g(:\n")
    assert await bench.text("lint", path="a.py") == (
        "a.py:1 F401: `os` imported but unused (fixable)\na.py:5 F821: Undefined name `undefined`"
    )
    whole = (await bench.text("lint")).splitlines()
    places = [line.partition(" ")[0] for line in whole]
    assert places == ["a.py:1", "a.py:5", "pkg/b.py:1", "pkg/b.py:2"]
    result = await bench.result("lint", path="pkg")
    assert TypeAdapter(list[ProblemData]).validate_python(result.data)[0] == {
        "path": "pkg/b.py",
        "line": 1,
        "rule": "invalid-syntax",
        "message": "Expected a parameter or the end of the parameter list",
    }
    assert result.presentation.title.startswith("Lint pkg: ")
    assert result.presentation.locations[0].path == bench.root / "pkg/b.py"


async def test_check_types_says_what_is_wrong_where(bench: Bench) -> None:
    bench.file("a.py", "def f(x: int) -> str:\n    return x\n")
    bench.file("pkg/b.py", "from a import f\n\nf('x')\n")
    one = await bench.result("check_types", path="pkg/b.py")
    assert one.text.startswith("pkg/b.py:3 invalid-argument-type: Argument to function `f`")
    assert one.presentation.title == "Check types of pkg/b.py: 1 problem"
    whole = (await bench.text("check_types")).splitlines()
    assert [line.partition(" ")[0] for line in whole] == ["a.py:2", "pkg/b.py:3"]
    bench.file("a.py", CLEAN)
    bench.file("pkg/b.py", CLEAN)
    assert await bench.text("check_types") == "no problems"


async def test_the_projects_own_settings_hold(bench: Bench) -> None:
    bench.file(
        "pyproject.toml",
        '[tool.ruff.lint]\nselect = ["D100"]\n[tool.ruff.format]\nquote-style = "single"\n'
        '[tool.ty.rules]\nall = "ignore"\nunresolved-reference = "warn"\n',
    )
    bench.file("a.py", 'import os\n\nx: int = "a"\nprint(missing)\n')
    assert (
        await bench.text("lint", path="a.py") == "a.py:1 D100: Missing docstring in public module"
    )
    assert await bench.text("lint") == await bench.text("lint", path="a.py")
    assert await bench.text("check_types") == (
        "a.py:4 unresolved-reference warning: Name `missing` used when not defined"
    )
    await bench.text("format", path="a.py")
    assert "x: int = 'a'" in (bench.root / "a.py").read_text()


@pytest.mark.parametrize("path", ["a.py", "."])
async def test_fixes_come_as_a_diff_and_what_is_left_is_told(bench: Bench, path: str) -> None:
    old = "import os\n\nprint(missing)\n"
    bench.file("a.py", old)
    shown = await bench.present("lint", path=path, fix=True)
    assert shown.content == (
        DiffContent(path=bench.root / "a.py", old_text=old, new_text="\nprint(missing)\n"),
    )
    assert (bench.root / "a.py").read_text() == old
    assert await bench.text("lint", path=path, fix=True) == (
        "fixed a.py; left: a.py:2 F821: Undefined name `missing`"
    )
    assert (bench.root / "a.py").read_text() == "\nprint(missing)\n"
    assert (await bench.text("lint", path=path, fix=True)).startswith("nothing to fix; left: a.py")


async def test_only_safe_fixes_whatever_the_project_says(bench: Bench) -> None:
    bench.file("ruff.toml", 'fix = true\nunsafe-fixes = true\nlint.select = ["F"]\n')
    text = "def f():\n    unused = 1\n\n\nimport os\n"
    path = bench.file("a.py", text)
    await bench.text("lint")
    await bench.text("lint", path="a.py")
    await bench.text("check_types")
    assert path.read_text() == text
    await bench.text("lint", fix=True)
    assert path.read_text() == "def f():\n    unused = 1\n\n\n"
    assert {each.name for each in bench.root.iterdir()} == {"a.py", "ruff.toml"}


@pytest.mark.parametrize("path", ["a.py", "."])
async def test_format_keeps_line_ends_and_mark(bench: Bench, path: str) -> None:
    (bench.root / "a.py").write_bytes(b"\xef\xbb\xbfx = [1,2]\r\ny=1\r\n")
    bench.file("b.py", "x = 1\n")
    bench.file(".hidden/c.py", "x=1\n")
    shown = await bench.present("format", path=path)
    assert [each.path for each in shown.locations] == [bench.root / "a.py"]
    assert await bench.text("format", path=path) == "formatted 1 file: a.py"
    assert (bench.root / "a.py").read_bytes() == b"\xef\xbb\xbfx = [1, 2]\r\ny = 1\r\n"
    assert await bench.text("format", path=path) == "nothing to change"
    assert (bench.root / ".hidden/c.py").read_text() == "x=1\n"


async def test_a_file_that_cannot_be_formatted_does_not_stop_the_others(bench: Bench) -> None:
    bench.file("a.py", "def f(:\n")
    bench.file("b.py", "x=1\n")
    text = await bench.text("format")
    assert text.startswith("formatted 1 file: b.py\n(note: a.py:1 invalid-syntax: Expected")
    assert (await bench.text("format", path="a.py")).startswith("error: ruff failed: Failed to ")


async def test_what_changed_since_it_was_read_is_not_rewritten(bench: Bench) -> None:
    path = bench.file("a.py", "x=1\n")
    await bench.text("read_file", path="a.py")
    path.write_text("y=1\n")
    refused = "a.py changed since it was read; read it again first"
    assert await bench.text("format", path="a.py") == f"error: {refused}"
    assert refused in await bench.text("format")
    assert path.read_text() == "y=1\n"


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("lint", {"path": "notes.txt"}, "error: notes.txt is not a Python file"),
        ("check_types", {"path": "nope.py"}, "error: there is no file nope.py"),
        ("format", {"path": "nope"}, "error: there is no file or folder nope"),
        ("lint", {"path": "empty"}, "there are no Python files"),
        ("lint", {"path": "empty", "fix": True}, "nothing to fix; left: there are no Python files"),
        ("check_types", {"path": "empty"}, "there are no Python files"),
        ("format", {"path": "empty"}, "there are no Python files"),
        ("lint", {"path": "latin.py"}, "error: latin.py is not UTF-8 text"),
        ("check_types", {"path": "../x.py"}, "error: ../x.py is outside the workspace"),
    ],
)
async def test_what_cannot_be_checked(
    bench: Bench, tool: str, arguments: dict[str, Any], said: str
) -> None:
    bench.file("notes.txt", "x")
    (bench.root / "empty").mkdir()
    (bench.root / "latin.py").write_bytes(b"# \xe4\n")
    assert (await bench.text(tool, **arguments)).startswith(said)


@pytest.mark.parametrize("tool", ["lint", "check_types", "format"])
async def test_broken_settings_are_told(bench: Bench, tool: str) -> None:
    bench.file("a.py", "x=1\n")
    bench.file("ruff.toml", "[lint\n")
    bench.file("ty.toml", "[rules\n")
    for path in ("a.py", "."):
        text = await bench.text(tool, path=path)
        assert text.startswith("error: ")
        assert "TOML parse error at line 1" in text
        assert "\n" not in text


async def test_many_problems_are_cut(bench: Bench) -> None:
    bench.file("a.py", "".join(f"print(missing{n})\n" for n in range(500)))
    for tool in ("lint", "check_types"):
        text = await bench.limited(result_chars=4_000).text(tool)
        assert len(text) < 4_000
        assert text.endswith("of 500 problems; name a smaller path)")


async def test_unsaved_text_counts_for_ruff_and_is_told_for_ty(tmp_path: Path) -> None:
    class Unsaved(LocalWorkspace):
        async def read_text(self, path: Path) -> TextFile:
            file = await super().read_text(path)
            return TextFile(path, "print(unsaved)\n", file.digest, note="this is unsaved")

    (tmp_path / "a.py").write_text("print(saved)\n")
    bench = Bench(tmp_path, ToolContext(Unsaved([tmp_path]), ReadLedger()))
    assert "`unsaved`" in await bench.text("lint", path="a.py")
    text = await bench.text("check_types", path="a.py")
    assert "`saved`" in text
    assert text.endswith("(note: this is unsaved)")


async def test_a_root_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.py").write_text("import os\n\nprint(missing)\n")
    (tmp_path / "link").symlink_to("real")
    bench = Bench(tmp_path, ToolContext(LocalWorkspace([tmp_path / "link"]), ReadLedger()))
    for path in ("a.py", "."):
        assert (await bench.text("lint", path=path)).startswith("a.py:1 F401")
        assert (await bench.text("check_types", path=path)).startswith("a.py:3 unresolved-ref")
        assert (await bench.present("lint", path=path, fix=True)).title.endswith(": 1 file")


async def test_nothing_that_a_project_brings_is_run(bench: Bench) -> None:
    """ty would build the environment of a script with uv, and with it run any package's code."""
    venv = bench.root / ".venv"
    ran = bench.root / "ran"
    for name in ("python", "python3", "ruff", "ty", "uv"):
        program = bench.file(f".venv/bin/{name}", f"#!/bin/sh\necho {name} $* >> {ran}\n")
        program.chmod(0o755)
    (venv / "lib/python3.12/site-packages").mkdir(parents=True)
    bench.file(".venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.12\n")
    bench.file("pyproject.toml", '[tool.ty]\nproject-manager.script = "uv"\n')
    script = "# /// script\n# dependencies = ['x']\n{}# ///\nimport missing\n"
    bench.file("a.py", script.format(""))
    bench.file("b.py", script.format('# [tool.ty]\n# project-manager.script = "uv"\n'))
    for tool in ("check_types", "lint", "format"):
        for path in ("a.py", "b.py", "."):
            text = await bench.text(tool, path=path)
            assert not text.startswith("error"), text
    for tool in ("symbols", "hover", "definition", "references"):
        for path in ("a.py:4", "b.py:6"):
            symbol = {} if tool == "symbols" else {"symbol": "missing"}
            await bench.text(tool, path=path.partition(":")[0] if not symbol else path, **symbol)
    # What ty starts for one question is there when it has answered the next.
    await bench.text("hover", symbol="missing", path="a.py:4")
    assert not ran.exists()


async def test_what_links_and_settings_lead_to_is_not_told(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "credentials"
    outside.write_text("hidden_value\n")
    bench.file("b.py", "seen_value\n")
    (bench.root / "a.py").symlink_to(outside)
    bench.file("config/.env", "hidden_value\n")
    (bench.root / "c.py").symlink_to(bench.root / "config/.env")
    for tool in ("lint", "check_types"):
        text = await bench.text(tool)
        assert "seen_value" in text
        assert "hidden_value" not in text
    assert "hidden_value" not in await bench.text("format")
    bench.file("ruff.toml", f'extend = "{outside}"\n')
    bench.file("ty.toml", "hidden_value\n")
    for tool in ("lint", "check_types", "format"):
        text = await bench.text(tool)
        assert text.startswith("error: ")
        assert "hidden_value" not in text
        assert "line 1" in text


def test_only_fixing_is_an_edit() -> None:
    lint = tool_named("lint")
    reading, fixing = (lint.arguments.model_validate({"fix": fix}) for fix in (False, True))
    assert (lint.effect_with(reading), lint.effect_with(fixing)) == ("read", "edit")


def test_rules_for_edits_speak_of_fixes_and_formats(tmp_path: Path) -> None:
    place = Place(LocalWorkspace([tmp_path]))
    lint, formatting = tool_named("lint"), tool_named("format")
    call = describe_call(lint, lint.arguments.model_validate({"path": "src"}), place)
    assert isinstance(call, ReadCall)
    for rule in (Rule("deny", EDITS, AnyCall()), Rule("deny", EDITS, PathPattern("src/a.py"))):
        assert not isinstance(judge([rule], call, place), Forbidden)
        for path in (".", "src", "src/a.py"):
            for tool, given in ((lint, {"path": path, "fix": True}), (formatting, {"path": path})):
                files = describe_call(tool, tool.arguments.model_validate(given), place)
                assert isinstance(files, FilesCall)
                assert isinstance(judge([rule], files, place), Forbidden), (path, tool.name)
    whole = describe_call(formatting, formatting.arguments.model_validate({}), place)
    assert all(not offer.rules for offer in offers(whole, [], place))
    other = describe_call(formatting, formatting.arguments.model_validate({"path": "t"}), place)
    assert not isinstance(judge([rule], other, place), Forbidden)
