"""What is known of a rename while it is worked out: the files, and the places that are meant."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from punie.tools.base import ToolContext, ToolError
from punie.tools.patch.planning import FileChange
from punie.tools.python.occurrences import Occurrence
from punie.workspace.base import TextFile
from punie.workspace.lsp.model import Place, Point
from punie.workspace.roots import root_around

if TYPE_CHECKING:
    from punie.workspace.lsp.client import LanguageServer


@dataclass
class Search:
    """What is known so far: the files with the old name, and the places in them that are meant."""

    context: ToolContext
    server: "LanguageServer"
    old: str
    new: str
    files: dict[Path, TextFile] = field(default_factory=dict)
    edits: set[Point] = field(default_factory=set)
    meanings: dict[Point, tuple[Place, ...]] = field(default_factory=dict)
    _lines: dict[Path, list[str]] = field(default_factory=dict)

    async def definitions(
        self, points: Sequence[Point], name: str, overlay: Mapping[Path, str] | None = None
    ) -> list[tuple[Place, ...]]:
        """Return where what stands at each point is defined, each at its name.

        For the server `self.name` as a whole defines an attribute, and a name that is also one of a
        builtin, or that a builtin was given to, means that as well.
        """
        answers = await self.server.definitions(points, overlay)
        return [_own([_at_name(place, name) for place in places]) for places in answers]

    def line(self, path: Path, number: int) -> str:
        """Return a line of a file, "" if there is none."""
        lines = self._lines.setdefault(path, self.files[path].text.split("\n"))
        return lines[number - 1] if number <= len(lines) else ""


def changed_files(search: Search) -> list[FileChange]:
    """Return the files with the new name at all places that are meant."""
    by_path: dict[Path, list[Point]] = defaultdict(list)
    for point in search.edits:
        by_path[point.path].append(point)
    changes: list[FileChange] = []
    for path in sorted(by_path):
        file = search.files[path]
        lines = file.text.split("\n")
        for point in sorted(by_path[path], key=order, reverse=True):
            line = lines[point.line - 1]
            end = point.column + len(search.old)
            if line[point.column : end] != search.old:
                raise ToolError(
                    f"{search.context.workspace.display(path)}:{point.line} does not hold "
                    f"{search.old}; it has just changed"
                )
            lines[point.line - 1] = line[: point.column] + search.new + line[end:]
        changes.append(FileChange(path, file, "\n".join(lines)))
    return changes


def in_project(search: Search, path: Path) -> bool:
    """Tell whether a file is the project's own: in a root, and not hidden or installed there."""
    root = root_around(search.context.workspace.roots, path)
    if root is None:
        return False
    parts = path.relative_to(root).parts
    return not any(part.startswith(".") or part == "site-packages" for part in parts)


def _own(places: Sequence[Place]) -> tuple[Place, ...]:
    # Indented are the members of builtin types, which are others.
    own = tuple(
        place
        for place in places
        if place.path.name != "builtins.pyi" or place.text.startswith((" ", "\t"))
    )
    return own or tuple(places)


def _at_name(place: Place, name: str) -> Place:
    held = place.text[place.column : place.end_column]
    if place.line == place.end_line and held.endswith(f".{name}"):
        return replace(place, column=place.end_column - len(name))
    return place


def is_named(search: Search, place: Place) -> bool:
    """Tell whether exactly the old name stands at a place of the project's own files."""
    file = search.files.get(place.path)
    if file is None or place.line != place.end_line or not in_project(search, place.path):
        return False
    return search.line(place.path, place.line)[place.column : place.end_column] == search.old


def place_after(search: Search, point: Point) -> Point:
    """Return where a place is once the names before it on its line have changed."""
    shift = len(search.new) - len(search.old)
    number = sum(
        other.path == point.path and other.line == point.line and other.column < point.column
        for other in search.edits
    )
    return Point(point.path, point.line, point.column + number * shift)


def place_before(search: Search, point: Point) -> Point:
    """Return where a place of the changed texts is now."""
    shift = len(search.new) - len(search.old)
    column = point.column
    on_line = [p for p in search.edits if (p.path, p.line) == (point.path, point.line)]
    for other in sorted(on_line, key=order):
        if other.column < column:
            column -= shift
    return Point(point.path, point.line, column)


def point_of(occurrence: Occurrence) -> Point:
    """Return where an occurrence begins."""
    return Point(occurrence.path, occurrence.line, occurrence.column)


def order(point: Point) -> tuple[str, int, int]:
    """Return what sorts points by file, line and column."""
    return str(point.path), point.line, point.column


def shown_place(search: Search, place: Place) -> str:
    """Return a place as `path:line`."""
    return f"{search.context.workspace.display(place.path)}:{place.line}"
