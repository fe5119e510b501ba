"""Names in strings that code gets members by: `getattr(x, "total")`, `patch("pkg.core.total")`.

What such a string means is asked of the language server with code in its place that says the same.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from punie.tools.python.namings import column_in, parsed
from punie.tools.python.rename_state import Search, in_project
from punie.workspace.lsp.model import Point

MAX_STRINGS = 200
"""Of more strings that may name the symbol only the first are looked at."""

_BY_NAME = {"getattr", "hasattr", "setattr", "delattr", "object"}
"""What takes an object and a name: the builtins, and those of pytest's and mock's patching."""

_DECLARING = {"__slots__", "__match_args__"}

_DOTTED = re.compile(r"[^\W\d]\w*(?:[.:][^\W\d]\w*)+")


@dataclass(frozen=True)
class NamedMember:
    """A string that names a member, and the object that it is got from."""

    point: Point
    receiver: ast.expr
    call: ast.Call


def named_members(search: Search, path: Path, tree: ast.Module) -> Iterator[NamedMember]:
    """Yield the strings of a file that name a member of an object beside them."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name),
                args=[receiver, ast.Constant(value=str() as value) as constant, *_],
            ) if name in _BY_NAME and value == search.old:
                column = text_column(search, path, constant)
                if column is not None:
                    yield NamedMember(Point(path, constant.lineno, column), receiver, node)
            case _:
                continue


async def meant_strings(search: Search) -> list[Point]:
    """Return where strings name what is renamed, by an object of a known type or by full name."""
    found: list[Point] = []
    asked = 0
    for path, file in search.files.items():
        tree = parsed(file.text) if in_project(search, path) else None
        if tree is None:
            continue
        found += _declared(search, path, tree)
        for member in named_members(search, path, tree):
            asked += 1
            if asked <= MAX_STRINGS and await _is_meant(search, *_with_code(search, member)):
                found.append(member.point)
        for point, parts in _dotted(search, path, tree):
            asked += 1
            if asked <= MAX_STRINGS and await _is_meant(
                search, *await _with_import(search, path, parts)
            ):
                found.append(point)
    return [point for point in dict.fromkeys(found) if point not in search.edits]


async def lacks_member(search: Search, member: NamedMember) -> bool:
    """Tell whether the object is of a type that is known not to have the member."""
    point, text = _with_code(search, member)
    found = await search.server.diagnostics([point.path], {point.path: text})
    return any(
        "attribute" in problem.rule and problem.place.line == point.line
        for problem in found.get(point.path, ())
    )


async def _is_meant(search: Search, point: Point, text: str) -> bool:
    (places,) = await search.definitions([point], search.old, {point.path: text})
    return bool(places) and all(place.point in search.edits for place in places)


def _with_code(search: Search, member: NamedMember) -> tuple[Point, str]:
    """Return the file with an attribute in place of the call that has its name as a string."""
    call = member.call
    path = member.point.path
    lines = search.files[path].text.split("\n")
    start = column_in(lines[call.lineno - 1], call.col_offset)
    last = lines[(call.end_lineno or call.lineno) - 1]
    rest = last[column_in(last, call.end_col_offset or 0) :]
    try:
        code = f"({ast.unparse(member.receiver)})."
    except RecursionError:
        code = "()."
    before = [*lines[: call.lineno - 1], lines[call.lineno - 1][:start] + code]
    after = [search.old + rest, *lines[call.end_lineno :]]
    text = "\n".join(before) + "\n".join(after)
    return Point(path, call.lineno, start + len(code)), text


def _declared(search: Search, path: Path, tree: ast.Module) -> Iterator[Point]:
    """Yield the entries of `__slots__` and `__match_args__` in classes with what is renamed."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        if not any(point.path == path and point.line in lines for point in search.edits):
            continue
        for statement in node.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if any(isinstance(each, ast.Name) and each.id in _DECLARING for each in targets):
                yield from strings_equal(search, path, statement)


def strings_equal(search: Search, path: Path, tree: ast.AST) -> Iterator[Point]:
    """Yield the strings that are the old name and nothing else."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value == search.old:
            column = text_column(search, path, node)
            if column is not None:
                yield Point(path, node.lineno, column)


def _dotted(
    search: Search, path: Path, tree: ast.Module
) -> Iterator[tuple[Point, tuple[str, ...]]]:
    """Yield the strings that are nothing but a dotted name with the old one in it.

    With where that stands, and the name up to it.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as value) if _DOTTED.fullmatch(value):
                column = text_column(search, path, node)
                parts = re.split("[.:]", value)
                if column is None or search.old not in parts[1:]:
                    continue
                index = parts.index(search.old, 1)
                offset = len(".".join(parts[:index])) + 1
                yield Point(path, node.lineno, column + offset), tuple(parts[: index + 1])
            case _:
                continue


async def _with_import(search: Search, path: Path, parts: tuple[str, ...]) -> tuple[Point, str]:
    """Return the file with the name as code at its end, and an import of every module in it."""
    text = search.files[path].text
    imports = [f"import {'.'.join(parts[:end])}" for end in range(1, len(parts))]
    first = text.count("\n") + 2
    points = [
        Point(path, first + index, len(line) - len(parts[index]))
        for index, line in enumerate(imports)
    ]
    found = await search.definitions(points, search.old, {path: "\n".join([text, *imports, ""])})
    # One that is no module would leave nothing known of those before it.
    modules = [line for line, places in zip(imports, found, strict=True) if places]
    dotted = ".".join(parts)
    point = Point(path, first + len(modules), len(dotted) - len(parts[-1]))
    return point, "\n".join([text, *modules, dotted, ""])


def text_column(search: Search, path: Path, constant: ast.Constant) -> int | None:
    """Return where a string's text begins, None unless it stands there as it is."""
    line = search.line(path, constant.lineno)
    start = column_in(line, constant.col_offset)
    end = column_in(line, constant.end_col_offset or 0)
    if constant.end_lineno != constant.lineno or line[start + 1 : end - 1] != constant.value:
        return None
    return start + 1
