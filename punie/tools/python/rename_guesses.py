"""Places whose type nobody knows and that can mean nothing but what is renamed, by elimination.

`thing.total()` with a `thing` without a type is taken for the method that is renamed if `total` is
no member of anything else: of the project's classes, of the builtins, of the modules and packages
that the project imports. Nobody can prove it, so whoever uses this tells which places these are.
"""

import ast
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread

from punie.tools.base import ToolError
from punie.tools.python.bindings import Bindings, Imported
from punie.tools.python.namings import column_in, has_member, members_of, namings, parsed
from punie.tools.python.occurrences import Occurrence, files_with
from punie.tools.python.rename_state import Search, in_project, point_of
from punie.tools.python.rename_strings import NamedMember, lacks_member, named_members
from punie.workspace.base import TextFile
from punie.workspace.lsp.model import Place, Point

_EVERYWHERE = {"builtins", "types", "typing", "io", "_io"}
"""Modules whose objects are met under any name."""

_GIVEN = {"pytest", "_pytest"}
"""Packages whose objects come without an import, under names of their own."""

_NEUTRAL = {"typing", "typing_extensions", "types", "abc", "_collections_abc"}
"""Modules that only say what type something has."""

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<module>\w[\w.]*)[ \t]+import\b|import[ \t]+(?P<list>[^#\n;\\]+))",
    re.MULTILINE,
)

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


@dataclass
class _Evidence:
    """What else has the name: places by kind, and receivers as they are spelt."""

    own: set[str] = field(default_factory=set)
    members: set[Point] = field(default_factory=set)
    of_modules: set[Point] = field(default_factory=set)
    spelt: set[str] = field(default_factory=set)
    spelt_otherwise: set[str] = field(default_factory=set)

    @property
    def sure(self) -> set[str]:
        """What is spelt so and always meant where the type is known."""
        return self.spelt - self.spelt_otherwise


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
            _gather(search, path, tree, evidence)
            bindings = Bindings(tree, file.text)
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
    return list(dict.fromkeys(chosen))


def _gather(search: Search, path: Path, tree: ast.Module, evidence: _Evidence) -> None:
    for naming in namings(search.files[path].text, search.old):
        point = Point(path, naming.line, naming.column)
        if point in search.edits:
            evidence.own.add(naming.kind)
        elif naming.kind == "member":
            evidence.members.add(point)
        elif naming.kind == "module":
            evidence.of_modules.add(point)
    for point, receiver in _attributes(search, path, tree):
        if point in search.edits:
            evidence.spelt.add(_spelt(receiver))
        elif search.meanings.get(point):
            evidence.spelt_otherwise.add(_spelt(receiver))


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
    if evidence.members - {each.point for each in listed}:
        # Another class has one too: only what is spelt as it is where the type is known.
        listed = [each for each in listed if each.spelt in evidence.sure]
    if not listed:
        return []
    imports = await _imports(search)
    rivals = None if imports is None else await _rivals(search, imports)
    if imports is None or rivals is None or rivals & _EVERYWHERE:
        return []
    modules = {name.rpartition(".")[2] for name in imports.modules}
    kept: list[Point] = []
    for each in listed:
        if each.spelt.rpartition(".")[2] in modules:
            continue
        sure = each.spelt in evidence.sure and not imports.gives(rivals, each.spelt)
        if not rivals or sure:
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
    kept: list[_Unknown] = []
    for each in listed:
        origins = each.bindings.origins(each.receiver)
        if await _foreign(search, each.point.path, sorted_imports(origins.imports)):
            continue
        if origins.given or not origins.imports:
            needed = sorted_imports(each.bindings.imports(guarded=False))
            if await _missing(search, each.point.path, needed):
                continue
        kept.append(each)
    return kept


def sorted_imports(imports: Sequence[Imported] | set[Imported]) -> list[Imported]:
    """Return imports in the order in which they stand."""
    return sorted(imports, key=lambda each: (each.line, each.column))


async def _foreign(search: Search, path: Path, imports: Sequence[Imported]) -> bool:
    answers = await _ask(search, path, imports)
    return any(
        not places or any(_is_foreign(search, place) for place in places) for places in answers
    )


async def _missing(search: Search, path: Path, imports: Sequence[Imported]) -> bool:
    return not all(await _ask(search, path, imports))


async def _ask(search: Search, path: Path, imports: Sequence[Imported]) -> list[tuple[Place, ...]]:
    points = [Point(path, each.line, each.column) for each in imports]
    return await search.definitions(points, search.old) if points else []


def _is_foreign(search: Search, place: Place) -> bool:
    name = place.path.parent.name if place.path.stem == "__init__" else place.path.stem
    return not in_project(search, place.path) and name not in _NEUTRAL


async def _of_modules(
    search: Search, listed: Sequence[_Unknown], evidence: _Evidence
) -> list[Point]:
    """Return the attributes of the project's own modules that are made while the program runs."""
    if evidence.of_modules:
        return []
    kept: list[Point] = []
    for each in listed:
        root = each.receiver
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name):
            continue
        origins = each.bindings.origins(root)
        answers = await _ask(search, each.point.path, sorted_imports(origins.imports))
        if answers and not origins.given and all(_is_own_module(search, a) for a in answers):
            kept.append(each.point)
    return kept


def _is_own_module(search: Search, places: Sequence[Place]) -> bool:
    return bool(places) and all(
        place.end_column == 0 and in_project(search, place.path) for place in places
    )


@dataclass(frozen=True)
class _Imports:
    """What each file imports, and where the modules of other people's are, by dotted names."""

    files: dict[Path, tuple[TextFile, set[str]]]
    modules: dict[str, Path]

    def gives(self, packages: set[str], receiver: str) -> bool:
        """Tell whether any file has something of these packages under a receiver's first name."""
        name = re.split(r"\W", receiver, maxsplit=1)[0]
        for file, names in self.files.values():
            if name not in file.text or not packages & set(map(_top, names)):
                continue
            tree = parsed(file.text)
            if tree is None or packages & Bindings(tree, file.text).packages_of(name):
                return True
        return False


def _top(name: str) -> str:
    return name.partition(".")[0]


async def _imports(search: Search) -> _Imports | None:
    """Return what the project imports, None if it has too many files to look at."""
    files: dict[Path, tuple[TextFile, set[str]]] = {}
    try:
        found = await files_with(search.context, "import", search.context.workspace.roots)
    except ToolError:
        return None
    for file in found:
        if not in_project(search, file.path):
            continue
        _, names = files.setdefault(file.path, (file, set()))
        for match in _IMPORT.finditer(file.text):
            names.update([match["module"]] if match["module"] else _listed(match["list"]))
    named = {*_EVERYWHERE, *_GIVEN, *(name for _, names in files.values() for name in names)}
    ordered = sorted({*named, *(below for name in named for below in _submodules(name))})
    probe = next(iter(search.files))
    lines = [f"import {name}" for name in ordered]
    points = [
        Point(probe, number, len(line) - len(line.rpartition(".")[2].split()[-1]))
        for number, line in enumerate(lines, start=1)
    ]
    answers = await search.server.definitions(points, {probe: "\n".join([*lines, ""])})
    modules = {
        name: places[0].path
        for name, places in zip(ordered, answers, strict=True)
        if places and not in_project(search, places[0].path)
    }
    return _Imports(files, modules)


async def _rivals(search: Search, imports: _Imports) -> set[str] | None:
    """Return the packages outside of the project with a member of the name; None if unknown."""
    old = search.old
    texts = await search.server.other_code(list(imports.modules.values()), old)
    if texts is None:
        return None

    def holding() -> set[Path]:
        # Modules of one package share their texts.
        known: dict[str, bool] = {}
        return {
            path
            for path, listed in texts.items()
            if any(
                known[text] if text in known else known.setdefault(text, has_member(text, old))
                for text in listed
            )
        }

    found = await anyio.to_thread.run_sync(holding)
    return {_top(name) for name, path in imports.modules.items() if path in found}


def _submodules(name: str) -> list[str]:
    """Return what a package of the standard library is made of, which it gives on as its own."""
    if "." in name or name not in sys.stdlib_module_names:
        return []
    # That of a package at the top is found without running anything.
    spec = importlib.util.find_spec(name)
    folders = spec.submodule_search_locations if spec else None
    return [f"{name}.{each.name}" for each in pkgutil.iter_modules(folders)] if folders else []


def _listed(text: str) -> list[str]:
    names = [each.split()[0] for each in text.split(",") if each.strip()]
    return [name for name in names if re.fullmatch(r"\w+(\.\w+)*", name)]
