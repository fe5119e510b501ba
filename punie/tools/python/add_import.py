"""add_import: an import at the top of a Python file, unless it is there."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass

import anyio.to_thread

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolError, ToolResult, noted
from punie.tools.guards import refuse_stale, workspace_errors
from punie.tools.presentation import DiffContent, Location, Presentation
from punie.tools.python.diagnostics import Change, types_before, with_diagnostics
from punie.tools.python.imported import Imported
from punie.tools.python.locating import python_file
from punie.tools.subjects import FilesSubject
from punie.tools.wording import changed_line, one_line
from punie.workspace.base import TextFile

_SHOWN_CHARS = 80


class AddImportArguments(ToolArguments):
    """Which file, and what it is to import."""

    path: str
    """The file."""
    statement: str
    """The import as it is written in code, such as `from typing import Any`."""


@dataclass(frozen=True)
class _Planned:
    file: TextFile
    text: str
    presentation: Presentation


def read_imports(statement: str) -> list[Imported]:
    """Return what a statement imports; raise `ToolError` if it is no import."""
    try:
        body = ast.parse(statement.strip()).body
    except (SyntaxError, ValueError):
        body = []
    found: list[Imported] = []
    for each in body:
        match each:
            case ast.Import():
                found += [Imported(name.name, None, name.asname, 0) for name in each.names]
            case ast.ImportFrom():
                module, level = each.module or "", each.level
                found += [Imported(module, name.name, name.asname, level) for name in each.names]
            case _:
                found.clear()
                break
    if not found:
        shown = one_line(statement, _SHOWN_CHARS)
        raise ToolError(f'"{shown}" is no import; write one such as "from typing import Any"')
    return found


async def _plan(context: ToolContext, arguments: AddImportArguments) -> _Planned:
    """Work the new text out without touching anything; raise `ToolError` if it cannot be done."""
    wanted = read_imports(arguments.statement)
    file = await python_file(context, arguments.path)
    refuse_stale(context, file)
    shown = context.workspace.display(file.path)
    try:
        text = await anyio.to_thread.run_sync(with_imports, file.text, wanted, shown)
    except RecursionError as error:
        raise ToolError(f"{shown} is too deeply nested; use edit_file") from error
    title = f"Import {', '.join(each.name for each in wanted)} in {shown}"
    if text == file.text:
        presentation = Presentation(title=title, kind="edit", locations=(Location(path=file.path),))
    else:
        presentation = Presentation(
            title=title,
            kind="edit",
            locations=(Location(path=file.path, line=changed_line(file.text, text)),),
            content=(
                DiffContent(
                    path=file.path,
                    old_text=file.text,
                    new_text=text,
                    newline=file.newline,
                    bom=file.bom,
                ),
            ),
        )
    return _Planned(file, text, presentation)


def with_imports(text: str, wanted: Sequence[Imported], shown: str) -> str:
    """Return a text with the imports that it lacks.

    Raises `ToolError` for a text that is not valid Python, and if a name that comes in means
    something else at the top of it.
    """
    # Slow to import, and only needed here.
    from libcst.codemod import CodemodContext
    from libcst.codemod.visitors import AddImportsVisitor

    from punie.tools.python.concrete import NotPythonError, parse_module
    from punie.tools.python.top_names import top_names

    try:
        module = parse_module(text)
    except NotPythonError as error:
        raise ToolError(f"{shown} {error}; correct it first") from error
    there = top_names(module)
    context = CodemodContext()
    for each in wanted:
        same = [found for found in there if found.name == each.name]
        if any(found.imported == each for found in same):
            continue  # The visitor itself does not know relative imports again.
        for found in same:
            if each.obj != "*" and not _is_same(found.imported, each):
                raise ToolError(
                    f"{each.name} is something else in {shown} already: {found.code}; import it "
                    "under another name with as"
                )
        AddImportsVisitor.add_needed_import(
            context, each.module, each.obj, each.alias, relative=each.level
        )
    return AddImportsVisitor(context).transform_module(module).code


def _is_same(bound: Imported | None, wanted: Imported) -> bool:
    """Tell whether a name that is bound means what the import brings."""
    if bound is None:
        return False
    if wanted.obj is None and bound.obj is None and wanted.alias is None and bound.alias is None:
        return True  # `import a.b` and `import a.c` both bring a.
    # `import a.b as c` and `from a import b as c` are one.
    return _target(bound) == _target(wanted)


def _target(imported: Imported) -> tuple[int, str]:
    path = imported.module if imported.obj is None else f"{imported.module}.{imported.obj}"
    return imported.level, path.lstrip(".")


async def present(context: ToolContext, arguments: AddImportArguments) -> Presentation:
    """Describe the edit with its diff; raise `ToolError` if it cannot be done."""
    return (await _plan(context, arguments)).presentation


async def run(context: ToolContext, arguments: AddImportArguments) -> ToolResult:
    """Write the file as it is now with the import."""
    planned = await _plan(context, arguments)
    file = planned.file
    shown = context.workspace.display(file.path)
    if planned.text == file.text:
        return ToolResult(f"{shown} imports that already", planned.presentation)
    types = await types_before(context, [file.path])
    with workspace_errors():
        written = await context.workspace.write_text(file.path, planned.text, like=file)
    context.reads.saw(written.path, written.digest)
    line = changed_line(file.text, planned.text)
    added = one_line(planned.text.split("\n")[line - 1], _SHOWN_CHARS)
    result = noted(ToolResult(f"edited {shown}:{line}:{added}", planned.presentation), written.note)
    change = Change(file.path, file.text, planned.text)
    return await with_diagnostics(context, result, [change], types)


ADD_IMPORT = Tool(
    name="add_import",
    description="Import if missing.",
    arguments=AddImportArguments,
    effect="edit",
    present=present,
    run=run,
    subject=lambda arguments: FilesSubject((arguments.path,)),
)
