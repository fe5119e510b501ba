"""Members of one name in classes that inherit from each other: they are renamed together."""

import ast
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.tools.base import ToolError
from punie.tools.python.locating import flattened
from punie.tools.python.rename_state import (
    Search,
    changed_files,
    in_project,
    place_before,
    shown_place,
)
from punie.workspace.lsp.model import Point, Symbol

_OWN_ATTRIBUTE = re.compile(r"\b(?:self|cls)\.$")


@dataclass(frozen=True)
class DefinedClass:
    """A class in a file, with its first and last line."""

    qualified: str
    symbol: Symbol
    first: int
    last: int


async def classes_in(search: Search, path: Path) -> list[DefinedClass]:
    """Return the classes that a file defines, outer ones first."""
    ends = _last_lines(search, path)
    found: list[DefinedClass] = []
    for each in flattened(await search.server.symbols_of(path)):
        if each.symbol.kind == "class":
            line = each.symbol.place.line
            found.append(DefinedClass(each.qualified, each.symbol, line, ends.get(line, line)))
    return found


def _last_lines(search: Search, path: Path) -> dict[int, int]:
    """Return the last lines of classes by the lines on which they begin."""
    try:
        tree = ast.parse(search.files[path].text)
    except (KeyError, SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return {
        node.lineno: node.end_lineno or node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


def members(
    search: Search, path: Path, classes: Sequence[DefinedClass]
) -> list[tuple[DefinedClass, Point]]:
    """Return where a file's classes define a member of the old name, on themselves or on `self`."""
    found: list[tuple[DefinedClass, Point]] = []
    for point, places in search.meanings.items():
        if point.path != path or all(place.point != point for place in places):
            continue
        around = [each for each in classes if each.first <= point.line <= each.last]
        own = [
            each
            for each in classes
            if any(child.place.point == point for child in each.symbol.children)
        ]
        if own:
            found.append((own[-1], point))
        elif around and _OWN_ATTRIBUTE.search(search.line(path, point.line)[: point.column]):
            found.append((around[-1], point))
    return found


async def overrides(search: Search) -> list[Point]:
    """Return the members of the old name in classes below and above those that define it."""
    found: list[Point] = []
    probes: dict[Path, list[str]] = defaultdict(list)
    for path in sorted({point.path for point in search.edits}):
        defining: dict[str, DefinedClass] = {}
        for each, point in members(search, path, await classes_in(search, path)):
            if point in search.edits:
                defining[each.qualified] = each
        for each in defining.values():
            probes[path].append(each.qualified)
            found += await _in_subclasses(search, each.symbol.place.point)
    found += await _inherited(search, probes)
    return [point for point in dict.fromkeys(found) if point not in search.edits]


async def _in_subclasses(search: Search, point: Point) -> list[Point]:
    found: list[Point] = []
    for place in await search.server.implementations(point):
        if place.point == point or place.path not in search.files:
            continue
        listed = members(search, place.path, await classes_in(search, place.path))
        found += [each for below, each in listed if below.symbol.place.point == place.point]
    return found


async def _inherited(search: Search, probes: Mapping[Path, Sequence[str]]) -> list[Point]:
    """Return what classes inherit under the old name once their own member has the new one."""
    found: list[Point] = []
    for path, classes in probes.items():
        texts = {each.path: each.text or "" for each in changed_files(search)}
        first = texts[path].count("\n") + 2
        lines = [member_of(name, search.old) for name in classes]
        texts[path] += "\n" + "\n".join(lines) + "\n"
        points = [
            Point(path, first + index, len(line) - len(search.old))
            for index, line in enumerate(lines)
        ]
        answers = await search.definitions(points, search.old, texts)
        for places, name in zip(answers, classes, strict=True):
            for place in places:
                if not in_project(search, place.path):
                    raise ToolError(
                        f"{name}.{search.old} overrides what is defined outside of the project: "
                        f"{shown_place(search, place)}"
                    )
                back = place_before(search, place.point)
                if back in search.meanings:
                    found.append(back)
    return found


def member_of(qualified: str, name: str) -> str:
    """Return code that gets a member of an instance of a class."""
    return f"{qualified}.__new__({qualified}).{name}"
