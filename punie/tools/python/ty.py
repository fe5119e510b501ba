"""Asking ty what is wrong with the types of files on disk."""

from collections.abc import Sequence
from pathlib import Path

from punie.tools.base import ToolContext
from punie.tools.python.checkers import refuse_failure, run_checker
from punie.tools.python.foreign import without_foreign_values
from punie.tools.python.problems import Problem, of_the_project, read_ty

_NO_FILES = "No python files found"


async def check_paths(
    context: ToolContext, paths: Sequence[Path], root: Path
) -> list[Problem] | None:
    """Return what ty finds in files and below folders of a root; None if no Python is there.

    Raises `ToolError` and `WorkspaceError`.
    """
    arguments = ("--", *map(str, paths))
    result = await run_checker(context, "ty check", arguments, root)
    refuse_failure("ty check", result)
    problems = read_ty(result.stdout, root)
    if not problems and _NO_FILES in result.stderr:
        return None
    # A path that was named was asked about already.
    named = [problem for problem in problems if problem.path in paths]
    rest = [problem for problem in problems if problem.path not in paths]
    return await without_foreign_values(context, [*named, *of_the_project(context, rest)])
