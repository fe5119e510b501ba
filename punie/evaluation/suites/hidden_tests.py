"""Judging an edit by tests that the model never saw, in a folder of their own and confined.

Only the code that is no test comes from the model's project, so that nothing it did to tests or to
their settings counts. A run counts only if as many tests passed as there are: code can end the
process, or skip what imports it.
"""

import ast
import importlib.util
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import anyio.to_thread

from punie.evaluation.confinement import CONFINED
from punie.evaluation.errors import EvaluationError
from punie.evaluation.outcomes import is_test
from punie.evaluation.suites.counted_tests import CountedTests, shadows
from punie.evaluation.suites.frozen import Files
from punie.workspace.base import CommandRequest, CommandResult, WorkspaceError
from punie.workspace.local import LocalWorkspace

TEST_SECONDS = 120.0
"""What the tests of one item may take."""

_ENVIRONMENT = "PYTEST_PLUGINS= PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONDONTWRITEBYTECODE=1"
_OPTIONS = ("-q", "-p", "no:cacheprovider", "--tb=line")
_TIME = re.compile(r" in [\d.]+s")


async def passing(code: Mapping[str, bytes], tests: Files, *, types: bool = False) -> str:
    """Return why a project's code does not pass these tests, in a few words; "" if it does.

    Args:
        code: the project's files as the model left them, by path; what is no code does not count.
        tests: the tests, by path.
        types: whether there must be no type errors either, in code and tests.

    Raises:
        EvaluationError: no test can be run here.
    """
    with tempfile.TemporaryDirectory(prefix="punie-edit-") as private:
        folder = Path(private).resolve() / "project"
        await anyio.to_thread.run_sync(_lay_out, folder, code, tests)
        workspace = LocalWorkspace([folder], CONFINED)
        try:
            python = await python_with_pytest(workspace)
            if python is None:
                raise EvaluationError(
                    "Edits are judged by pytest, which is missing; install it beside Punie."
                )
            counted = CountedTests(python, _OPTIONS)
            ran = await _run(workspace, f"export {_ENVIRONMENT}; {counted.command}")
            failed = _failure(ran, counted, sum(map(_count, tests.values())))
            if failed or not types:
                return failed
            own = shlex.quote(sys.executable)
            checked = await _run(workspace, f"{own} -m ty check --output-format concise .")
            return "" if checked.exit_code == 0 else "there are type errors"
        except WorkspaceError as error:
            raise EvaluationError(f"Tests of edits cannot be run: {error}.") from error
        finally:
            await workspace.aclose()


def is_code(path: str) -> bool:
    """Tell whether a file is code that a solution may bring, and no test or part of running one."""
    parts = PurePosixPath(path).parts
    is_own = parts[0] != "tests" and not is_test(path) and not shadows(path)
    return path.endswith(".py") and is_own


def _lay_out(folder: Path, code: Mapping[str, bytes], tests: Files) -> None:
    brought = {path: data for path, data in code.items() if is_code(path)}
    for path, data in {**brought, **{path: t.encode() for path, t in tests.items()}}.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


async def _run(workspace: LocalWorkspace, command: str) -> CommandResult:
    if not (await workspace.confinement()).active:
        raise EvaluationError("Tests of edits are not run: no sandbox works here.")
    return await workspace.run(CommandRequest(command, workspace.roots[0], TEST_SECONDS))


async def python_with_pytest(workspace: LocalWorkspace) -> str | None:
    """Return a Python that has pytest: Punie's own, or the user's; None if there is none.

    Raises `WorkspaceError` if that cannot be found out.
    """
    if importlib.util.find_spec("pytest") is not None:
        return sys.executable
    asked = CommandRequest("python3 -c 'import pytest'", workspace.roots[0], TEST_SECONDS)
    return "python3" if (await workspace.run(asked)).exit_code == 0 else None


def _failure(ran: CommandResult, counted: CountedTests, tests: int) -> str:
    if ran.timed_out:
        return "the tests take too long"
    passed = counted.passed(ran.output)
    if passed is not None and passed >= tests:
        return ""
    lines = [line for line in counted.without_count(ran.output).splitlines() if line.strip()]
    return f"tests fail: {_TIME.sub('', lines[-1])}" if lines else "tests fail"


def _count(text: str) -> int:
    """Return how many tests a file has at least."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(
        isinstance(node, functions) and node.name.startswith("test_")
        for node in ast.walk(ast.parse(text))
    )
