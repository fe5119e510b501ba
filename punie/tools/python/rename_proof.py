"""Proof that a rename changes nothing but a name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from punie.tools.base import ToolError
from punie.tools.guards import refuse_stale
from punie.tools.patch.planning import FileChange
from punie.tools.python.locating import flattened
from punie.tools.python.occurrences import occurrences
from punie.tools.python.rename_family import classes_in, member_of, members
from punie.tools.python.rename_state import (
    Search,
    in_project,
    order,
    place_after,
    point_of,
    shown_place,
)
from punie.workspace.base import TextFile
from punie.workspace.lsp.model import Point


async def prove(search: Search, changes: Sequence[FileChange]) -> None:
    """Raise `ToolError` unless all places mean afterwards what they meant before."""
    for change in changes:
        file = search.files[change.path]
        refuse_stale(search.context, file)
        _refuse_broken(search, file, change.text or "")
    texts = {change.path: change.text or "" for change in changes}
    files = [search.files[path] for path in texts]
    others = [
        point_of(each)
        for file in files
        for each in occurrences(file, search.new)
        if each.within == "code"
    ]
    before = dict(search.meanings)
    before.update(zip(others, await search.definitions(others, search.new), strict=True))
    points = [*(point for point in sorted(search.edits, key=order) if point in before), *others]
    after = await search.definitions(
        [place_after(search, each) for each in points], search.new, texts
    )
    for point, places in zip(points, after, strict=True):
        wanted = {_meaning(search, place_after(search, place.point)) for place in before[point]}
        if {_meaning(search, place.point) for place in places} != wanted:
            shown = search.context.workspace.display(point.path)
            raise ToolError(
                f"there is a {search.new} already: {shown}:{point.line} would then mean another"
            )
    await _refuse_override(search, texts)


def _meaning(search: Search, point: Point) -> Point | str:
    """Return what tells a definition from others; outside of the project its module is enough.

    The server takes it now from a stub and now from the code, and they differ in lines.
    """
    if in_project(search, point.path):
        return point
    return point.path.stem if point.path.stem != "__init__" else point.path.parent.name


async def _refuse_override(search: Search, texts: Mapping[Path, str]) -> None:
    """Raise `ToolError` if a class has a member of the new name, its own or inherited."""
    for path in texts:
        classes = await classes_in(search, path)
        defining = {
            each.qualified: each
            for each, point in members(search, path, classes)
            if point in search.edits
        }
        for name, each in defining.items():
            probe = member_of(name, search.new)
            text = f"{search.files[path].text}\n{probe}\n"
            point = Point(path, text.count("\n"), len(probe) - len(search.new))
            (inherited,) = await search.server.definitions([point], {path: text})
            below = [
                child.place
                for place in await search.server.implementations(each.symbol.place.point)
                if in_project(search, place.path)
                for other in flattened(await search.server.symbols_of(place.path))
                if other.symbol.place.point == place.point
                for child in other.symbol.children
                if child.name == search.new
            ]
            for place in (*inherited, *below):
                raise ToolError(
                    f"{name} or a class below it has a {search.new} already: "
                    f"{shown_place(search, place)}"
                )


def _refuse_broken(search: Search, file: TextFile, text: str) -> None:
    # Knows the syntax of newer Pythons than the one that runs us, and is slow to import.
    from punie.tools.python.concrete import NotPythonError, parse_module

    shown = search.context.workspace.display(file.path)
    for each, message in (
        (file.text, f"{shown} is not valid Python; correct it first"),
        (text, f"{shown} would not be valid Python any more"),
    ):
        try:
            parse_module(each)
        except NotPythonError as error:
            raise ToolError(message) from error
