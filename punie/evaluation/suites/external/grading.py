"""Grading a solution by the exercise's own tests, in a folder of its own and confined.

The tests come from the checkout and only the solution from the model's project, so no change that
the model makes to tests, settings or the build counts.
"""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread

from punie.evaluation.confinement import CONFINED
from punie.evaluation.errors import EvaluationError
from punie.evaluation.suites.counted_tests import CountedTests
from punie.evaluation.suites.external.exercises import PRACTICE, Exercise
from punie.evaluation.suites.external.languages import PYTHON
from punie.evaluation.suites.hidden_tests import python_with_pytest
from punie.workspace.base import CommandRequest, CommandResult, WorkspaceError
from punie.workspace.local import LocalWorkspace

TEST_SECONDS = 180.0
"""What the tests of one exercise may take, as in Aider's benchmark."""

_OUTPUT_CHARS = 8_000
# No settings, plugins or modules but those of the tests themselves.
_ENVIRONMENT = "PYTHONHASHSEED=0 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTEST_ADDOPTS= PYTEST_PLUGINS="
_PYTEST = ("-q", "--tb=short", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir=.")
_DURATIONS = re.compile(r"\b\d+(\.\d+)?\s?(m?s|seconds)\b")
_ADDRESSES = re.compile(r"\b0x[0-9a-f]{6,}\b")


@dataclass(frozen=True)
class Graded:
    """Whether all tests of an exercise pass, and what they print, without times and addresses."""

    passed: bool
    output: str


async def missing_for(exercise: Exercise) -> str:
    """Return what is not installed that the exercise's tests need, as a clause; "" if nothing.

    Raises:
        EvaluationError: no tests at all can be run here.
    """
    workspace = LocalWorkspace([exercise.folder], CONFINED)
    try:
        confinement = await workspace.confinement()
        if not confinement.active:
            raise EvaluationError(
                f"Tests of exercises run in a sandbox only, and none works: {confinement.missing}."
            )
        if exercise.language is PYTHON and await python_with_pytest(workspace) is None:
            raise EvaluationError(
                "The tests of Python exercises need pytest, which neither Punie's Python nor "
                "python3 has; install it."
            )
        for program in exercise.language.programs:
            if await workspace.find_program(program, "trusted") is None:
                return f"{program}, which is not installed"
        packages = exercise.language.packages
        if packages and _packages(exercise) is None:
            return f"{packages} in their folder or in one above it; install them there"
    except WorkspaceError as error:
        raise EvaluationError(f"{exercise.name} cannot be prepared: {error}.") from error
    finally:
        await workspace.aclose()
    return ""


async def grade(exercise: Exercise, project: Path) -> Graded:
    """Run an exercise's tests on the solution in a project.

    Raises:
        EvaluationError: the tests cannot be run.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="punie-exercise-") as private:
            # Builds of C++ take the folder's name for the name of the program.
            folder = Path(private).resolve() / exercise.folder.name
            await anyio.to_thread.run_sync(_lay_out, exercise, project, folder)
            result, passed = await _run(exercise, folder)
    except OSError as error:
        raise EvaluationError(
            f"The tests of {exercise.name} cannot be run ({error.strerror})."
        ) from error
    return Graded(passed, _plain(result, folder))


def _lay_out(exercise: Exercise, project: Path, folder: Path) -> None:
    """Write the exercise with the project's solution, and with its tests all switched on."""
    files: dict[str, bytes] = {**exercise.given, **exercise.hidden}
    for path in exercise.tests:
        files[path] = exercise.language.switched_on(files[path])
    for path in exercise.solution:
        files.pop(path, None)
    files.update(_brought(exercise, project))
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    packages = _packages(exercise) if exercise.language.packages else None
    if packages is not None:
        (folder / packages.name).symlink_to(packages)


def _brought(exercise: Exercise, project: Path) -> Mapping[str, bytes]:
    """Return what a project has of a solution, by path."""
    known = {*exercise.given, *exercise.hidden}
    found = {}
    for path in sorted(project.rglob("*")):
        relative = path.relative_to(project).as_posix()
        if relative not in exercise.solution and (
            relative in known or not exercise.language.may_add(relative)
        ):
            continue
        # A link could bring the example from the checkout.
        if path.is_file() and path.resolve() == project.resolve() / relative:
            found[relative] = path.read_bytes()
    return found


async def _run(exercise: Exercise, folder: Path) -> tuple[CommandResult, bool]:
    """Run the tests; return what came of it, and whether they passed."""
    workspace = LocalWorkspace([folder], CONFINED)
    try:
        if not (await workspace.confinement()).active:
            raise EvaluationError(
                f"The tests of {exercise.name} are not run: no sandbox works here."
            )
        if exercise.language is PYTHON:
            return await _run_python(exercise, workspace)
        command = exercise.language.command
        ran = await workspace.run(CommandRequest(command, folder, TEST_SECONDS))
        return ran, ran.exit_code == 0 and exercise.language.says_passed(ran.output)
    except WorkspaceError as error:
        raise EvaluationError(f"The tests of {exercise.name} cannot be run: {error}.") from error
    finally:
        await workspace.aclose()


async def _run_python(exercise: Exercise, workspace: LocalWorkspace) -> tuple[CommandResult, bool]:
    python = await python_with_pytest(workspace) or "python3"
    counted = CountedTests(python, (*_PYTEST, *exercise.tests))
    command = f"export {_ENVIRONMENT}; {counted.command}"
    ran = await workspace.run(CommandRequest(command, workspace.roots[0], TEST_SECONDS))
    return replace(ran, output=counted.without_count(ran.output)), bool(counted.passed(ran.output))


def _packages(exercise: Exercise) -> Path | None:
    """Return the folder of installed packages, in the exercise or up to the checkout's folder."""
    folder = exercise.folder
    for above in (folder, *list(folder.parents)[: len(PRACTICE.parts) + 1]):
        if (above / exercise.language.packages).is_dir():
            return (above / exercise.language.packages).resolve()
    return None


def _plain(result: CommandResult, folder: Path) -> str:
    """Return what tests printed, the same whenever and wherever they are run."""
    output = result.output.replace(str(folder), folder.name)
    output = _ADDRESSES.sub("0x…", _DURATIONS.sub("…", output)).strip()
    if len(output) > _OUTPUT_CHARS:
        half = _OUTPUT_CHARS // 2
        output = f"{output[:half]}\n…\n{output[-half:]}"
    if result.timed_out:
        output += f"\nThe tests were ended after {TEST_SECONDS:g} seconds."
    return output.strip()
