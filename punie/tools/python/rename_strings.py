"""Names in strings that code gets members by: `getattr(x, "total")`, `patch("pkg.core.total")`.

What such a string means is asked of the language server with code in its place that says the same.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.tools.python.namings import column_in, parsed
from punie.tools.python.rename_state import Search, in_project
from punie.workspace.lsp.model import Place, Point

MAX_STRINGS = 50
"""Of more strings that name a member of an object beside them only the first are looked at."""

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
    members: list[NamedMember] = []
    dotted: dict[Point, tuple[str, ...]] = {}
    for path, file in search.files.items():
        tree = parsed(file.text) if in_project(search, path) else None
        if tree is not None:
            found += _declared(search, path, tree)
            members += named_members(search, path, tree)
            dotted.update(_dotted(search, path, tree))
    for member in members[:MAX_STRINGS]:
        point, text = _with_code(search, member)
        (places,) = await search.definitions([point], search.old, {point.path: text})
        if _is_meant(search, places):
            found.append(member.point)
    found += await _by_full_name(search, dotted)
    return [point for point in dict.fromkeys(found) if point not in search.edits]


def _is_meant(search: Search, places: Sequence[Place]) -> bool:
    return bool(places) and all(place.point in search.edits for place in places)


async def _by_full_name(search: Search, dotted: Mapping[Point, tuple[str, ...]]) -> list[Point]:
    """Return those of the strings whose dotted name, as code, means what is renamed."""
    if not dotted:
        return []
    probe = next(iter(dotted)).path
    modules = sorted(
        {".".join(parts[:end]) for parts in dotted.values() for end in range(1, len(parts))}
    )
    imports = [f"import {name}" for name in modules]
    answers = await _ask(search, probe, imports)
    # One that is no module would leave nothing known of those before it.
    imports = [line for line, places in zip(imports, answers, strict=True) if places]
    names = [".".join(parts) for parts in dotted.values()]
    answers = await _ask(search, probe, [*imports, *names])
    return [
        point
        for point, places in zip(dotted, answers[len(imports) :], strict=True)
        if _is_meant(search, places)
    ]


async def _ask(search: Search, path: Path, lines: Sequence[str]) -> list[tuple[Place, ...]]:
    """Return what the last name of each line means if they stand at the end of a file."""
    text = search.files[path].text
    first = text.count("\n") + 2
    points = [Point(path, first + index, len(line) - 1) for index, line in enumerate(lines)]
    return await search.definitions(points, search.old, {path: "\n".join([text, *lines, ""])})


async def lacks_member(search: Search, member: NamedMember) -> bool:
    """Tell whether the object is of a type that is known not to have the member."""
    point, text = _with_code(search, member)
    found = await search.server.diagnostics([point.path], {point.path: text})
    return any(
        "attribute" in problem.rule and problem.place.line == point.line
        for problem in found.get(point.path, ())
    )


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


def text_column(search: Search, path: Path, constant: ast.Constant) -> int | None:
    """Return where a string's text begins, None unless it stands there as it is."""
    line = search.line(path, constant.lineno)
    start = column_in(line, constant.col_offset)
    end = column_in(line, constant.end_col_offset or 0)
    if constant.end_lineno != constant.lineno or line[start + 1 : end - 1] != constant.value:
        return None
    return start + 1
