"""Places in the code as a model and a person see them."""

from collections.abc import Iterable, Sequence

from pydantic import JsonValue
from typing_extensions import TypedDict

from punie.tools.base import ToolContext
from punie.tools.presentation import Location
from punie.tools.python.foreign import is_foreign
from punie.tools.wording import fitting_rows, one_line
from punie.workspace.lsp.model import Place

_TRAILER_ROOM = 120
_MAX_LOCATIONS = 20
_LINE_CHARS = 300


class PlaceData(TypedDict):
    """A line of code, as code gets it."""

    path: str
    line: int
    text: str


def lines_of(places: Iterable[Place]) -> list[Place]:
    """Return the places, one for each line."""
    return list({(place.path, place.line): place for place in places}.values())


def row(context: ToolContext, place: Place) -> str:
    """Return a place as `path:line:text`."""
    return f"{context.workspace.display(place.path)}:{place.line}:{_shown_text(context, place)}"


def _shown_text(context: ToolContext, place: Place, chars: int = _LINE_CHARS) -> str:
    if is_foreign(context.workspace, place.path):
        return "(outside of the project, not shown)"
    return one_line(place.text, chars)


def shown_line(place: Place) -> str:
    """Return a place's line of code."""
    return one_line(place.text, _LINE_CHARS)


def data(context: ToolContext, places: Iterable[Place]) -> list[JsonValue]:
    """Return places as code gets them."""
    return [
        {
            "path": context.workspace.display(place.path),
            "line": place.line,
            "text": _shown_text(context, place, chars=len(place.text)),
        }
        for place in places
    ]


def locations(places: Iterable[Place]) -> tuple[Location, ...]:
    """Return where an IDE can go."""
    return tuple(
        Location(path=place.path, line=place.line) for place in list(places)[:_MAX_LOCATIONS]
    )


def fitted(context: ToolContext, rows: Sequence[str], rest: str) -> str:
    """Return the rows that fit into a result; `rest` says how to get at the others."""
    kept = fitting_rows(rows, context.limits.result_chars - _TRAILER_ROOM)
    if len(kept) < len(rows):
        kept.append(f"(first {len(kept)} of {len(rows)}; {rest})")
    return "\n".join(kept)
