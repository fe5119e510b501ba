"""Asking ruff: what it finds, and what files would be with its fixes or in its format."""

from pathlib import Path

from punie.tools.base import ToolContext, ToolError
from punie.tools.python.checkers import CheckerCommand, failure, refuse_failure, run_checker
from punie.tools.python.problems import Problem, of_the_project, read_ruff
from punie.tools.python.targets import Target
from punie.workspace.base import TextFile
from punie.workspace.text_files import encode_text

_NO_FILES = "No Python files found"

_CHECK = ("--no-fix", "--exit-zero", "--output-format=json")


async def lint_target(context: ToolContext, target: Target) -> list[Problem] | None:
    """Return what ruff finds in a file or below a folder; None if it has no Python files there.

    A file is linted as the workspace knows it. Raises `ToolError` and `WorkspaceError`.
    """
    if target.file is not None:
        return await lint_file(context, target.file, target.root)
    result = await run_checker(
        context, "ruff check", (*_CHECK, "--", str(target.path)), target.root
    )
    refuse_failure("ruff check", result)
    problems = read_ruff(result.stdout, target.root)
    if not problems and _NO_FILES in result.stderr:
        return None
    return of_the_project(context, problems)


async def lint_file(
    context: ToolContext,
    file: TextFile,
    root: Path,
    *,
    extra: tuple[str, ...] = (),
) -> list[Problem]:
    """Return what ruff finds in a text at a place; `extra` are further arguments."""
    data = encode_text(str(file.path), file.text, newline=file.newline, bom=file.bom)
    arguments = (*_CHECK, *extra, f"--stdin-filename={file.path}", "-")
    result = await run_checker(context, "ruff check", arguments, root, stdin=data)
    refuse_failure("ruff check", result)
    return read_ruff(result.stdout, root)


async def fixed_text(context: ToolContext, file: TextFile, root: Path) -> str:
    """Return the file's text with ruff's safe fixes; raise `ToolError` if ruff cannot tell."""
    return await _rewritten(context, "ruff check", ("--fix-only",), file, root)


async def formatted_text(context: ToolContext, file: TextFile, root: Path) -> str:
    """Return the file's text in ruff's format; raise `ToolError` for text that is no Python."""
    return await _rewritten(context, "ruff format", (), file, root)


async def _rewritten(
    context: ToolContext,
    command: CheckerCommand,
    arguments: tuple[str, ...],
    file: TextFile,
    root: Path,
) -> str:
    # As text with plain line ends, which the file gets back when it is written.
    result = await run_checker(
        context,
        command,
        (*arguments, f"--stdin-filename={file.path}", "-"),
        root,
        stdin=file.text.encode("utf-8", "surrogatepass"),
    )
    if result.exit_code != 0:
        shown = context.workspace.display(file.path)
        raise ToolError(failure(command, result).replace(str(file.path), shown))
    return result.stdout if file.newline == "\n" else result.stdout.replace("\r\n", "\n")


async def unformatted(context: ToolContext, target: Target) -> list[Problem] | None:
    """Return what is not in ruff's format below a folder, and what cannot be formatted.

    A file that can be formatted is reported by the rule "unformatted". None if ruff has no Python
    files there.
    """
    result = await run_checker(
        context,
        "ruff format",
        ("--check", "--output-format=json", "--", str(target.path)),
        target.root,
    )
    if _NO_FILES in result.stderr:
        return None
    # Its exit code for a file that is no Python is that of settings that are broken.
    if not result.stdout.startswith("["):
        refuse_failure("ruff format", result)
    return of_the_project(context, read_ruff(result.stdout or "[]", target.root))
