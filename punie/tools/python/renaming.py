"""Working out a rename: all places that mean the same symbol, and proof that nothing else changes.

The language server's own answer is where it begins. It leaves out methods that override and those
that are overridden, what `super()` reaches, and the names in `__all__`. So every place where the
old name stands is looked at, and in the end every changed place has to mean what it meant.
"""

import ast
import builtins
import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from punie.tools.base import ToolContext, ToolError
from punie.tools.guards import workspace_errors
from punie.tools.patch.planning import FileChange
from punie.tools.python.locating import Located
from punie.tools.python.occurrences import In, Occurrence, files_with, occurrences
from punie.tools.python.rename_family import overrides
from punie.tools.python.rename_fixtures import joined
from punie.tools.python.rename_guesses import guesses
from punie.tools.python.rename_keywords import hidden_keywords
from punie.tools.python.rename_proof import prove
from punie.tools.python.rename_state import (
    Search,
    changed_files,
    in_project,
    is_named,
    order,
    place_after,
    point_of,
    shown_place,
)
from punie.tools.python.rename_strings import meant_strings
from punie.workspace.base import TextFile
from punie.workspace.lsp.model import Place, Point

MAX_PLACES = 3_000
"""A name that stands in more places is not renamed."""

_MAX_ROUNDS = 20
_NOT_BOUND = "unresolved-reference"


@dataclass(frozen=True)
class Left:
    """A place where the old name stays; `within` code means that nobody knows what it means."""

    occurrence: Occurrence
    text: str


@dataclass(frozen=True)
class Rename:
    """The files as they will be, how many places change, and where the old name stays.

    `guessed` are places that change because they can mean nothing else, though their type is not
    known; `looked_at` are all files that hold the old name.
    """

    changes: tuple[FileChange, ...]
    places: int
    left: tuple[Left, ...] = ()
    guessed: tuple[Left, ...] = ()
    looked_at: tuple[TextFile, ...] = ()


async def plan_rename(context: ToolContext, located: Located, new: str) -> Rename:
    """Work the rename out without touching anything; raise `ToolError` if it cannot be done."""
    old = located.name
    _refuse_names(old, new)
    with workspace_errors():
        server = await context.workspace.language_server(located.point.path)
    search = Search(context, server, old, new)
    search.files = {
        file.path: file for file in await files_with(context, old, context.workspace.roots)
    }
    if located.point.path not in search.files:
        with workspace_errors():
            file = await context.workspace.read_text(located.point.path)
        search.files[file.path] = file
    found = [each for file in search.files.values() for each in occurrences(file, old)]
    if len(found) > MAX_PLACES:
        raise ToolError(f"{old} stands in {len(found)} places, more than {MAX_PLACES}")
    with workspace_errors():
        await _learn(search, found)
        await _add(search, [located.point])
        if not search.edits:
            raise ToolError(f"nothing is known of {old} there; references shows what is")
        await _widen(search)
        await _export(search)
        await _join(search)
        search.edits.update(await hidden_keywords(search, found))
        guessed = await _guess(search, found)
        search.edits.update(await meant_strings(search))
        if hasattr(builtins, old):
            await _leave_builtins(search)
    changes = changed_files(search)
    with workspace_errors():
        await prove(search, changes)
    by_point = {point_of(each): each for each in found}
    told = tuple(
        Left(by_point[point], search.line(point.path, point.line))
        for point in sorted(guessed, key=order)
    )
    left = tuple(
        Left(each, search.line(each.path, each.line))
        for each in found
        if Point(each.path, each.line, each.column) not in search.edits
        and _may_be_meant(each.within, search.meanings.get(point_of(each), ()))
    )
    return Rename(tuple(changes), len(search.edits), left, told, tuple(search.files.values()))


def _refuse_names(old: str, new: str) -> None:
    if not new.isidentifier() or keyword.iskeyword(new):
        raise ToolError(f'"{new[:80]}" cannot be a name in Python')
    if old == new:
        raise ToolError(f"it is called {old} already")
    if re.fullmatch("__.+__", old):
        raise ToolError(f"{old} has a meaning to Python itself and keeps its name")


async def _learn(search: Search, found: Iterable[Occurrence]) -> None:
    """Ask what each place with the old name means."""
    points = [point_of(each) for each in found if each.within != "comment"]
    answers = await search.definitions(points, search.old)
    search.meanings.update(zip(points, answers, strict=True))


async def _add(search: Search, points: Sequence[Point]) -> None:
    """Add the places that mean what stands at these points, as the language server has it."""
    for point in points:
        if point in search.edits:
            continue
        for edit in await search.server.rename(point, search.new):
            place = edit.place
            _refuse_outside(search, place)
            if is_named(search, place):
                search.edits.add(place.point)
            else:
                raise ToolError(
                    f"{shown_place(search, place)} does not hold {search.old} alone; search for "
                    "it and edit it yourself"
                )


async def _widen(search: Search) -> None:
    """Add places until all that mean one of those that are meant are in, overrides included."""
    for _ in range(_MAX_ROUNDS):
        before = len(search.edits)
        more = [
            place.point
            for point in sorted(search.edits, key=order)
            for place in search.meanings.get(point, ())
            if place.point not in search.edits and _is_same_name(search, place)
        ]
        more += [
            point
            for point, places in search.meanings.items()
            if point not in search.edits and any(p.point in search.edits for p in places)
        ]
        more += await overrides(search)
        await _add(search, more)
        # A place that the server does not rename by itself, such as what super() reaches.
        search.edits.update(point for point in more if point in search.meanings)
        if len(search.edits) == before:
            return
    raise ToolError(f"{search.old} means too many things at once")


def _is_same_name(search: Search, place: Place) -> bool:
    """Tell whether a definition has the old name; one outside of the project is refused.

    What is imported under another name, and a module, is defined where another name stands.
    """
    if is_named(search, place):
        return True
    held = place.text[place.column : place.end_column]
    if held == search.old:
        raise ToolError(
            f"{search.old} is defined outside of the project: {shown_place(search, place)}"
        )
    if place.end_column == 0 and not any(_is_alias(search, point) for point in search.edits):
        raise ToolError(f"{search.old} is a module; move its file and change the imports")
    return False


def _is_alias(search: Search, point: Point) -> bool:
    line = search.line(point.path, point.line)
    return re.search(r"\bas\s+$", line[: point.column]) is not None


async def _export(search: Search) -> None:
    """Add the entries of `__all__` in modules where the name means the symbol."""
    for file in search.files.values():
        entries = list(_all_entries(file.text, search.old))
        if not entries:
            continue
        text = f"{file.text}\n{search.old}\n"
        point = Point(file.path, text.count("\n"), 0)
        (places,) = await search.definitions([point], search.old, {file.path: text})
        if any(place.point in search.edits for place in places):
            search.edits.update(Point(file.path, line, column) for line, column in entries)


async def _join(search: Search) -> None:
    """Add what pytest joins by name with what is meant."""
    for _ in range(_MAX_ROUNDS):
        before = len(search.edits)
        found = joined(search)
        await _add(search, found.symbols)
        search.edits.update(found.names)
        if len(search.edits) == before:
            return


async def _guess(search: Search, found: Sequence[Occurrence]) -> list[Point]:
    """Add and return what can be nothing else, with what means that; nothing if that fails."""
    sure = set(search.edits)
    guessed = await guesses(search, found)
    search.edits.update(guessed)
    try:
        if guessed:
            await _widen(search)
    except ToolError:
        search.edits = sure
        return []
    return guessed


async def _leave_builtins(search: Search) -> None:
    """Take out places that still mean the builtin, as the second `sorted` of `sorted = sorted`."""
    texts = {change.path: change.text or "" for change in changed_files(search)}
    missing = {
        problem.place.point
        for problems in (await search.server.diagnostics(list(texts), texts)).values()
        for problem in problems
        if problem.rule == _NOT_BOUND
    }
    search.edits -= {point for point in search.edits if place_after(search, point) in missing}


def _all_entries(text: str, name: str) -> Iterable[tuple[int, int]]:
    """Yield where a name stands in what a module assigns or adds to `__all__`."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    lines = text.split("\n")
    for statement in tree.body:
        names = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
        if "__all__" not in names:
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and node.value == name:
                start = len(lines[node.lineno - 1].encode()[: node.col_offset].decode())
                column = lines[node.lineno - 1].find(name, start)
                if column >= 0 and node.lineno == node.end_lineno:
                    yield node.lineno, column


def _refuse_outside(search: Search, place: Place) -> None:
    if not in_project(search, place.path):
        raise ToolError(
            f"{search.old} is used or defined outside of the project: {shown_place(search, place)}"
        )


def _may_be_meant(within: In, meaning: Sequence[Place]) -> bool:
    """Tell whether the old name might mean the symbol at a place that was left as it is."""
    return within != "code" or not meaning
