"""run_tests on real projects, with the real pytest in a Python of the project's own."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from punie.agent.permissions.choices import offers
from punie.agent.permissions.judging import (
    CommandCall,
    Forbidden,
    Permitted,
    Place,
    Unruled,
    describe_call,
    judge,
)
from punie.agent.permissions.rules import (
    COMMANDS,
    AnyCall,
    CommandPattern,
    ExactCommand,
    Rule,
    parse_command_pattern,
)
from punie.tools.base import ReadLedger, ToolContext
from punie.tools.python.run_tests import RunData
from punie.workspace.local import LocalWorkspace
from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from punie.workspace.sandbox.view import SandboxOptions
from tests.tools.conftest import Bench, tool_named

pytestmark = pytest.mark.anyio

TESTS = """
import pytest


def twice(x):
    return x + x


def test_good():
    pass


def test_bad():
    print("printed on the way")
    assert twice(2) == 5, "no sum"


@pytest.fixture
def broken():
    raise RuntimeError("no fixture")


def test_error(broken):
    pass


@pytest.mark.skip
def test_skipped():
    pass


@pytest.mark.xfail
def test_expected():
    assert 0
"""


@pytest.fixture
def project(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A project whose Python is the one that runs these tests."""
    # The plugins of this environment take two seconds of every run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    venv = bench.root / ".venv" / "bin"
    venv.mkdir(parents=True)
    for name in ("python", "python3"):
        # No link: the folder that it leads to would be where it looks for its libraries.
        (venv / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (venv / name).chmod(0o755)
    bench.file("pytest.ini", "[pytest]\n")
    return bench


async def test_every_outcome_is_told(project: Bench) -> None:
    project.file("tests/test_a.py", TESTS)
    result = await project.result("run_tests")
    head, *rows = result.text.splitlines()
    assert head == "1 failed, 1 with errors, 1 passed, 1 skipped, 1 failed as expected"
    assert "\n".join(rows) == (
        "FAILED tests/test_a.py::test_bad\n"
        '  tests/test_a.py:15 in test_bad: assert twice(2) == 5, "no sum"\n'
        "  AssertionError: no sum\n"
        "  assert 4 == 5\n"
        "   +  where 4 = twice(2)\n"
        "  output:\n"
        "  | printed on the way\n"
        "ERROR tests/test_a.py::test_error\n"
        '  tests/test_a.py:20 in broken: raise RuntimeError("no fixture")\n'
        "  RuntimeError: no fixture"
    )
    assert result.presentation.title == f"`pytest`: {head}"
    assert [(place.path, place.line) for place in result.presentation.locations] == [
        (project.root / "tests/test_a.py", 15),
        (project.root / "tests/test_a.py", 20),
    ]
    data = TypeAdapter(RunData).validate_python(result.data)
    assert (data["passed"], data["failed"], data["skipped"]) == (1, 2, 2)
    assert data["failures"][0]["id"] == "tests/test_a.py::test_bad"
    assert data["failures"][0]["line"] == 15


async def test_what_failed_last_runs_first_or_alone(project: Bench) -> None:
    project.file("test_a.py", "def test_a(): pass\n")
    project.file("test_b.py", "def test_b(): assert 0\n")
    assert (await project.text("run_tests")).startswith("1 failed, 1 passed\n")
    assert (await project.text("run_tests", failed=True)).startswith("1 failed\n")
    project.file("test_b.py", "import os, sys\n\n\ndef test_b(): os._exit(3)\n")
    # It is the first, so nothing has passed before the end of everything.
    assert await project.text("run_tests") == (
        "Python ended with exit code 3 in test_b.py::test_b; no tests ran"
    )


async def test_paths_and_ids_name_the_tests(project: Bench) -> None:
    project.file("tests/test_a.py", TESTS)
    project.file("tests/test_p.py", "import pytest\n\n\n"
        "@pytest.mark.parametrize('x', ['a b', 'c/d'])\ndef test_p(x): pass\n")  # fmt: skip
    assert await project.text("run_tests", paths=["tests/test_a.py::test_good"]) == "1 passed"
    assert await project.text(
        "run_tests", paths=["tests/test_p.py::test_p[c/d]", "tests/test_a.py::test_good"]
    ) == "2 passed"  # fmt: skip
    shown = await project.present("run_tests", paths=["tests/test_p.py::test_p[a b]"], failed=True)
    assert shown.title == "`pytest --lf 'tests/test_p.py::test_p[a b]'`"


@pytest.mark.parametrize(
    ("files", "arguments", "said"),
    [
        ({}, {}, "there are no tests here"),
        ({}, {"paths": ["nope.py"]}, "file or directory not found: nope.py"),
        ({"test_a.py": ""}, {"paths": ["test_a.py::test_x"]}, "not found: test_a.py::te"),
        ({}, {"paths": ["../x"]}, "../x is outside the workspace"),
        ({"pytest.ini": "[pytest]\naddopts = --nope\n"}, {}, "unrecognized arguments: --nope"),
        ({"conftest.py": "import nope\n"}, {}, "No module named 'nope'"),
        ({"pytest.ini": "[pytest\n"}, {}, "pytest did not run any test: "),
    ],
)
async def test_what_keeps_tests_from_running(
    project: Bench, files: dict[str, str], arguments: dict[str, Any], said: str
) -> None:
    for name, text in files.items():
        project.file(name, text)
    text = await project.text("run_tests", **arguments)
    assert text.startswith("error: ")
    assert said in text
    assert "\n" not in text


async def test_modules_that_cannot_be_imported(project: Bench) -> None:
    project.file("test_a.py", "import nope\n")
    project.file("test_b.py", "def test_b(:\n")
    project.file("test_c.py", "def test_c(): pass\n")
    text = await project.text("run_tests")
    assert text.startswith("2 with errors\nERROR test_a.py\n")
    assert "No module named 'nope'" in text
    assert "ERROR test_b.py\n" in text
    assert "SyntaxError: invalid syntax" in text


async def test_a_crash_names_the_test(project: Bench) -> None:
    project.file(
        "test_a.py",
        "import os, signal\n\n\ndef test_a(): pass\n\n\n"
        "def test_crash(): os.kill(os.getpid(), signal.SIGSEGV)\n",
    )
    assert await project.text("run_tests") == (
        "Python crashed with signal 11 in test_a.py::test_crash; 1 passed"
    )


async def test_a_hang_names_the_test(project: Bench) -> None:
    project.file("test_a.py", "import time\n\n\ndef test_hang(): time.sleep(60)\n")
    # How long pytest takes to come to the test depends on the machine.
    for seconds in (2, 8, 30):
        text = await project.limited(command_seconds=float(seconds)).text("run_tests")
        if text != f"error: pytest found no test to run in {seconds} seconds; name fewer paths":
            break
    assert text == (
        f"timed out after {seconds} s in test_a.py::test_hang; name fewer tests; no tests ran"
    )


async def test_workers_report_as_one(project: Bench) -> None:
    project.file("pytest.ini", "[pytest]\naddopts = -p xdist -n 1\n")
    project.file("tests/test_a.py", TESTS)
    project.file("test_crash.py", "import os\n\n\ndef test_crash(): os._exit(1)\n")
    text = await project.text("run_tests")
    assert text.startswith("2 failed, 1 with errors, 1 passed, 1 skipped, 1 failed as expected")
    assert "tests/test_a.py:15 in test_bad: assert twice(2) == 5" in text
    assert "crashed while running 'test_crash.py::test_crash'" in text


async def test_settings_of_the_project_do_not_hide_the_report(project: Bench) -> None:
    project.file(
        "pytest.ini",
        "[pytest]\naddopts = -p no:cacheprovider -s -qq --tb=no -W error --color=yes\n",
    )
    project.file("test_a.py", 'print("{}")\n\n\ndef test_a():\n    print("{}")\n    assert 0\n')
    text = await project.text("run_tests")
    assert text.startswith("1 failed\nFAILED test_a.py::test_a\n  test_a.py:6 in test_a: assert 0")


async def test_subtests_count_where_they_fail(project: Bench) -> None:
    project.file(
        "test_a.py",
        "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_t(self):\n"
        "        for i in range(4):\n            with self.subTest('odd', i=i):\n"
        "                self.assertEqual(i % 2, 0)\n",
    )
    text = await project.text("run_tests")
    assert text.startswith("2 failed, 1 passed\nFAILED test_a.py::T::test_t\n")
    assert "  [odd] (i=3) AssertionError: 1 != 0" in text


@pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here")
async def test_tests_are_confined_like_commands(project: Bench, tmp_path_factory: Any) -> None:
    outside = tmp_path_factory.mktemp("outside") / "written"
    project.file("test_a.py", f"def test_a():\n    open({str(outside)!r}, 'w')\n")
    workspace = LocalWorkspace([project.root], SandboxOptions())
    confined = Bench(project.root, ToolContext(workspace, ReadLedger()))
    text = await confined.text("run_tests")
    await workspace.aclose()
    assert text.startswith("1 failed\nFAILED test_a.py::test_a\n")
    assert not outside.exists()
    assert await project.text("run_tests") == "1 passed"
    assert outside.exists()


async def test_many_failures_are_named(project: Bench) -> None:
    body = "@pytest.mark.parametrize('x', range(60))\ndef test_x(x):\n    assert x == -1, 'y' * 300"
    project.file("test_a.py", f"import pytest\n\n\n{body}\n")
    text = await project.limited(result_chars=4_000).text("run_tests")
    assert len(text) <= 4_000
    assert text.startswith("60 failed\nFAILED test_a.py::test_x[0]\n")
    assert "more failed; run them by name to see why)\ntest_a.py::test_x[" in text


async def test_without_pytest_or_python(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.file("test_a.py", "def test_a(): pass\n")
    bare = bench.file(".venv/bin/python", f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')
    bare.chmod(0o755)
    assert (await bench.text("run_tests")).startswith(
        "error: pytest is not installed for the project's Python ("
    )
    bare.write_text("#!/bin/sh\necho no libpython >&2\nexit 127\n")
    assert await bench.text("run_tests") == "error: pytest did not run any test: no libpython"
    bare.unlink()
    monkeypatch.setenv("PATH", str(bench.root))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("SHLVL", "1")
    assert (await bench.text("run_tests")).startswith("error: there is no Python for this project")


def test_rules_for_commands_speak_of_it(tmp_path: Path) -> None:
    tool = tool_named("run_tests")
    place = Place(LocalWorkspace([tmp_path]))
    call = describe_call(tool, tool.arguments.model_validate({"paths": ["tests/test_a.py"]}), place)
    assert isinstance(call, CommandCall)
    assert call.line.text == "pytest tests/test_a.py"
    pattern = parse_command_pattern("pytest *")
    assert isinstance(judge([], call, place), Unruled)
    for target in (pattern, ExactCommand("pytest tests/test_a.py")):
        assert isinstance(judge([Rule("allow", COMMANDS, target)], call, place), Permitted)
        assert isinstance(judge([Rule("deny", COMMANDS, target)], call, place), Forbidden)
    assert isinstance(judge([Rule("deny", COMMANDS, AnyCall())], call, place), Forbidden)
    assert isinstance(judge([Rule("deny", "run_tests", AnyCall())], call, place), Forbidden)
    other = Rule("allow", COMMANDS, CommandPattern(("git",), more=True))
    assert isinstance(judge([other], call, place), Unruled)
    offered = [rule for offer in offers(call, [], place) for rule in offer.rules]
    assert Rule("allow", COMMANDS, pattern) in offered
    for rule in offered:
        assert rule.tool == COMMANDS
        decided = judge([rule], call, place)
        assert isinstance(decided, Permitted if rule.decision == "allow" else Forbidden)


async def test_what_the_sandbox_keeps_tests_from_is_told(project: Bench) -> None:
    if isinstance(find_sandbox(), NoSandbox):
        pytest.skip("no sandbox works here")
    project.file(
        "test_a.py",
        "import socket\n\n\ndef test_net(): socket.getaddrinfo('example.org', 80)\n",
    )
    workspace = LocalWorkspace([project.root], SandboxOptions())
    confined = Bench(project.root, replace(project.context, workspace=workspace))
    text = await confined.text("run_tests")
    await workspace.aclose()
    assert "FAILED test_a.py::test_net" in text
    assert text.endswith(
        "\n(the sandbox blocks network; run_command with unsandboxed=true runs pytest without it)"
    )
