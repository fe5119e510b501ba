"""Places whose type nobody knows and that can mean nothing but what is renamed, by elimination.

`thing.total()` with a `thing` without a type is taken for the method that is renamed if `total` is
no member of anything else: of the project's classes, of the builtins, of the modules and packages
that the project imports. Nobody can prove it, so whoever uses this tells which places these are.
"""

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from punie.tools.python.bindings import Bindings, Imported
from punie.tools.python.namings import column_in, members_of, namings, parsed
from punie.tools.python.occurrences import Occurrence
from punie.tools.python.project_imports import EVERYWHERE, project_imports, rivals
from punie.tools.python.rename_state import Search, in_project, order, point_of
from punie.tools.python.rename_strings import (
    NamedMember,
    lacks_member,
    named_members,
    strings_equal,
)
from punie.workspace.lsp.model import Place, Point

_NEUTRAL = {"typing", "typing_extensions", "types", "abc", "_collections_abc"}
"""Modules that only say what type something has."""


_InFunction = tuple[Path, int, str]

_BEGINNING = re.compile(r"^\s*\w+\s*=\s*None\b")


@dataclass(frozen=True)
class _Unknown:
    """A member of an object, or in a class below one, of which nobody knows the type."""

    point: Point
    receiver: ast.expr
    bindings: Bindings
    named: NamedMember | None = None

    @property
    def spelt(self) -> str:
        """The object or the class above as it is spelt."""
        return _spelt(self.receiver)

    @property
    def near(self) -> _InFunction:
        """The same with the function that it is in."""
        return self.point.path, self.bindings.function_of(self.receiver), self.spelt


@dataclass
class _Evidence:
    """What else has the name: places by kind, and receivers as they are spelt."""

    own: set[str] = field(default_factory=set)
    private: set[Point] = field(default_factory=set)
    members: set[Point] = field(default_factory=set)
    of_modules: set[Point] = field(default_factory=set)
    spelt: set[str] = field(default_factory=set)
    spelt_otherwise: set[str] = field(default_factory=set)
    near: set[_InFunction] = field(default_factory=set)
    near_otherwise: set[_InFunction] = field(default_factory=set)

    def is_sure(self, each: _Unknown) -> bool:
        """Tell whether what is spelt so is always meant where the type is known."""
        return each.spelt in self.spelt - self.spelt_otherwise

    def is_sure_near(self, each: _Unknown) -> bool:
        """Tell the same for the function alone in which it is."""
        return each.near in self.near - self.near_otherwise


async def guesses(search: Search, found: Sequence[Occurrence]) -> list[Point]:
    """Return the places with no known meaning that can mean nothing but what is renamed."""
    unknown = {
        point
        for point in (point_of(each) for each in found if each.within != "comment")
        if point not in search.edits and not search.meanings.get(point)
    }
    evidence = _Evidence()
    listed: list[_Unknown] = []
    for path, file in search.files.items():
        tree = parsed(file.text) if in_project(search, path) else None
        if tree is not None:
            bindings = Bindings(tree, file.text)
            _gather(search, path, tree, bindings, evidence)
            wanted = [
                *_attributes(search, path, tree),
                *_overriding(search, path, tree),
            ]
            listed += [
                _Unknown(point, receiver, bindings)
                for point, receiver in wanted
                if point in unknown or point in evidence.members
            ]
            listed += [
                _Unknown(each.point, each.receiver, bindings, each)
                for each in named_members(search, path, tree)
                if each.point in unknown
            ]
    chosen: list[Point] = []
    if "member" in evidence.own:
        chosen += await _members(search, await _without_known(search, listed), evidence)
    if "module" in evidence.own:
        chosen += await _of_modules(search, listed, evidence)
    if not evidence.members | evidence.of_modules:
        # In the file that defines a private name, a string that is the same speaks of it.
        chosen += sorted(evidence.private & unknown, key=order)
    return list(dict.fromkeys(chosen))


def _gather(
    search: Search, path: Path, tree: ast.Module, bindings: Bindings, evidence: _Evidence
) -> None:
    for naming in namings(search.files[path].text, search.old):
        point = Point(path, naming.line, naming.column)
        if point in search.edits:
            evidence.own.add(naming.kind)
            if naming.kind in ("member", "module") and search.old.startswith("_"):
                evidence.private.update(strings_equal(search, path, tree))
        elif naming.kind == "member":
            evidence.members.add(point)
        elif naming.kind == "module":
            evidence.of_modules.add(point)
    for point, receiver in _attributes(search, path, tree):
        if point in search.edits:
            evidence.spelt.add(_spelt(receiver))
            evidence.near.add(_Unknown(point, receiver, bindings).near)
        elif search.meanings.get(point):
            evidence.spelt_otherwise.add(_spelt(receiver))
            evidence.near_otherwise.add(_Unknown(point, receiver, bindings).near)


def _attributes(search: Search, path: Path, tree: ast.Module) -> list[tuple[Point, ast.expr]]:
    """Return where attributes have the old name, and of what."""
    found: list[tuple[Point, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == search.old:
            line = node.end_lineno or node.lineno
            end = column_in(search.line(path, line), node.end_col_offset or 0)
            found.append((Point(path, line, end - len(search.old)), node.value))
    return found


def _overriding(search: Search, path: Path, tree: ast.Module) -> list[tuple[Point, ast.expr]]:
    """Return where classes define the old name, and what they inherit from."""
    found: list[tuple[Point, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found += [
                (Point(path, naming.line, naming.column), base)
                for naming in members_of(node, search.files[path].text, search.old)
                for base in map(_plain, node.bases)
                if isinstance(base, (ast.Name, ast.Attribute))
            ]
    return found


def _plain(base: ast.expr) -> ast.expr:
    return base.value if isinstance(base, ast.Subscript) else base


def _spelt(receiver: ast.expr) -> str:
    try:
        return ast.unparse(receiver)
    except RecursionError:
        return ""


async def _without_known(search: Search, listed: Sequence[_Unknown]) -> list[_Unknown]:
    """Leave out definitions in classes of which all that is above them is known."""
    points = [
        Point(each.point.path, each.receiver.end_lineno or 1, _last_name(search, each))
        for each in listed
    ]
    answers = await search.server.definitions(points)
    return [
        each
        for each, places in zip(listed, answers, strict=True)
        if not search.meanings.get(each.point)
        # What has None for a beginning gets its value somewhere else.
        or all(_BEGINNING.search(place.text) for place in places)
    ]


def _last_name(search: Search, each: _Unknown) -> int:
    line = search.line(each.point.path, each.receiver.end_lineno or 1)
    end = column_in(line, each.receiver.end_col_offset or 0)
    return max(end - 1, 0)


async def _members(search: Search, listed: Sequence[_Unknown], evidence: _Evidence) -> list[Point]:
    """Return the attributes of objects of unknown type that can be no other member."""
    listed = await _of_unknown_type(search, await _not_foreign(search, listed))
    # Code that a type checker holds for unreachable, after an assertion for instance.
    kept = [each.point for each in listed if evidence.is_sure_near(each)]
    if evidence.members - {each.point for each in listed}:
        # Another class has one too: only what is spelt as it is where the type is known.
        listed = [
            each
            for each in listed
            if evidence.is_sure(each) and each.near not in evidence.near_otherwise
        ]
    if not listed:
        return kept
    imports = await project_imports(search)
    others = None if imports is None else await rivals(search, imports)
    if imports is None or others is None or others & EVERYWHERE:
        return kept
    modules = {name.rpartition(".")[2] for name in imports.modules}
    for each in listed:
        if each.spelt.rpartition(".")[2] in modules:
            continue
        sure = evidence.is_sure(each) and not imports.gives(others, each.spelt)
        if not others or sure:
            kept.append(each.point)
    return kept


async def _of_unknown_type(search: Search, listed: Sequence[_Unknown]) -> list[_Unknown]:
    """Leave out what is known not to have the member; a mixin's own object may have it."""
    paths = sorted({each.point.path for each in listed})
    if not paths:
        return []
    faults = [
        problem.place
        for problems in (await search.server.diagnostics(paths, {})).values()
        for problem in problems
        if "attribute" in problem.rule
    ]
    return [
        each
        for each in listed
        if _is_own_object(each)
        or (
            not any(_covers(place, each.point) for place in faults)
            and not (each.named and await lacks_member(search, each.named))
        )
    ]


def _is_own_object(each: _Unknown) -> bool:
    value = each.receiver
    return isinstance(value, ast.Name) and value.id == each.bindings.first_parameter(value)


def _covers(place: Place, point: Point) -> bool:
    start, end = (place.line, place.column), (place.end_line, place.end_column)
    return place.path == point.path and start <= (point.line, point.column) < end


async def _not_foreign(search: Search, listed: Sequence[_Unknown]) -> list[_Unknown]:
    """Leave out objects that come from other people's code, or may come from what is missing."""
    origins = [each.bindings.origins(each.receiver) for each in listed]
    needed = {each.point.path: each.bindings.imports(guarded=False) for each in listed}
    told = await _definitions(
        search,
        [
            *(
                (each.point.path, one)
                for each, its in zip(listed, origins, strict=True)
                for one in its.imports
            ),
            *((path, one) for path, imports in needed.items() for one in imports),
        ],
    )
    lacking = {
        path for path, imports in needed.items() if not all(told[path, one] for one in imports)
    }
    return [
        each
        for each, its in zip(listed, origins, strict=True)
        if not any(_is_foreign(search, told[each.point.path, one]) for one in its.imports)
        and (each.point.path not in lacking or (its.imports and not its.given))
    ]


async def _definitions(
    search: Search, imports: Iterable[tuple[Path, Imported]]
) -> dict[tuple[Path, Imported], tuple[Place, ...]]:
    """Return where what is imported is defined, nowhere if it is not installed."""
    asked = list(dict.fromkeys(imports))
    points = [Point(path, each.line, each.column) for path, each in asked]
    return dict(zip(asked, await search.definitions(points, search.old), strict=True))


def _is_foreign(search: Search, places: Sequence[Place]) -> bool:
    return not places or any(
        not in_project(search, place.path) and _module_name(place.path) not in _NEUTRAL
        for place in places
    )


def _module_name(path: Path) -> str:
    return path.parent.name if path.stem == "__init__" else path.stem


async def _of_modules(
    search: Search, listed: Sequence[_Unknown], evidence: _Evidence
) -> list[Point]:
    """Return the attributes of the project's own modules that are made while the program runs."""
    if evidence.of_modules:
        return []
    dotted = [
        (each, each.bindings.origins(root))
        for each in listed
        if isinstance(root := _root(each.receiver), ast.Name)
    ]
    told = await _definitions(
        search, ((each.point.path, one) for each, its in dotted for one in its.imports)
    )
    return [
        each.point
        for each, its in dotted
        if its.imports
        and not its.given
        and all(_is_own_module(search, told[each.point.path, one]) for one in its.imports)
    ]


def _root(receiver: ast.expr) -> ast.expr:
    while isinstance(receiver, ast.Attribute):
        receiver = receiver.value
    return receiver


def _is_own_module(search: Search, places: Sequence[Place]) -> bool:
    return bool(places) and all(
        place.end_column == 0 and in_project(search, place.path) for place in places
    )
