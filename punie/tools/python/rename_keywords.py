"""Keyword arguments of calls whose function is known, but not its parameters: of what is decorated.

Whoever calls `f(size=1)` means the parameter of the `f` that is defined, whatever its decorators
make of it; and `C(size=1)` a field of the class `C`.
"""

import ast
from collections.abc import Sequence
from pathlib import Path

from punie.tools.python.namings import column_in, members_of, parsed, spot
from punie.tools.python.occurrences import Occurrence
from punie.tools.python.rename_state import Search, in_project, point_of
from punie.workspace.lsp.model import Point


async def hidden_keywords(search: Search, found: Sequence[Occurrence]) -> list[Point]:
    """Return the keyword arguments that give a value to a parameter or field that is renamed."""
    unknown = {point_of(each) for each in found if each.within == "code"} - search.edits
    unknown = {point for point in unknown if not search.meanings.get(point)}
    if not unknown:
        return []
    owners: set[Point] = set()
    keywords: list[Point] = []
    callees: list[Point] = []
    for path, file in search.files.items():
        tree = parsed(file.text) if in_project(search, path) else None
        if tree is None:
            continue
        owners |= _owners(search, path, tree)
        for keyword, callee in _keywords(search, path, tree):
            if keyword in unknown:
                keywords.append(keyword)
                callees.append(callee)
    if not owners or not keywords:
        return []
    answers = await search.server.definitions(callees)
    return [
        keyword
        for keyword, places in zip(keywords, answers, strict=True)
        if places and all(place.point in owners for place in places)
    ]


def _owners(search: Search, path: Path, tree: ast.Module) -> set[Point]:
    """Return the names of functions with the parameter, and of classes with it or the field."""
    text = search.files[path].text
    lines = text.split("\n")
    found: set[Point] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if _has_parameter(search, path, node):
                found.add(Point(path, *spot(lines, node, node.name)))
        elif isinstance(node, ast.ClassDef):
            makers = [
                each
                for each in node.body
                if isinstance(each, ast.FunctionDef) and each.name in ("__init__", "__new__")
            ]
            fields = members_of(node, text, search.old)
            if any(_has_parameter(search, path, each) for each in makers) or any(
                not makers and Point(path, each.line, each.column) in search.edits
                for each in fields
            ):
                found.add(Point(path, *spot(lines, node, node.name)))
    return found


def _has_parameter(
    search: Search, path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef
) -> bool:
    return any(
        arg.arg == search.old
        and Point(path, arg.lineno, column_in(search.line(path, arg.lineno), arg.col_offset))
        in search.edits
        for arg in (*node.args.args, *node.args.kwonlyargs)
    )


def _keywords(search: Search, path: Path, tree: ast.Module) -> list[tuple[Point, Point]]:
    """Return where calls have the old name as a keyword, and where what they call has its name."""
    found: list[tuple[Point, Point]] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Name, ast.Attribute)):
            continue
        for each in node.keywords:
            if each.arg == search.old:
                column = column_in(search.line(path, each.lineno), each.col_offset)
                last = node.func.end_lineno or 1
                end = column_in(search.line(path, last), node.func.end_col_offset or 0)
                found.append((Point(path, each.lineno, column), Point(path, last, end - 1)))
    return found
