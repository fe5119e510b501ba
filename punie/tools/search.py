"""search: lines of files that match a text or a regular expression."""

from pathlib import Path

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from punie.tools.base import Returns, Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.wording import count, fenced, one_line
from punie.workspace.base import MissingFileError, SearchMatch, SearchResult

MAX_MATCHES = 50
"""More matches of one search are never returned."""

_TRAILER_ROOM = 60
_MAX_LOCATIONS = 20


class SearchArguments(ToolArguments):
    """What to look for, and where."""

    pattern: str = Field(description="Text to find")
    path: str = Field(default=".", description="Folder or file to search in")
    regex: bool = Field(default=False, description="Whether pattern is a regular expression")
    glob: str | None = Field(default=None, description="Only files like this, as in *.py")


class Match(TypedDict):
    """A line that matches, as code gets it."""

    path: str
    line: int
    text: str


def _title(shown: str, arguments: SearchArguments) -> str:
    where = "" if shown == "." else f" in {shown}"
    only = f" ({arguments.glob})" if arguments.glob else ""
    return f'Search "{one_line(arguments.pattern, 80)}"{where}{only}'


async def present(context: ToolContext, arguments: SearchArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside or an empty pattern."""
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
    if not arguments.pattern:
        raise ToolError("the pattern is empty; use list_dir to see which files there are")
    return Presentation(
        title=_title(context.workspace.display(path), arguments),
        kind="search",
        locations=(Location(path=path),),
    )


async def run(context: ToolContext, arguments: SearchArguments) -> ToolResult:
    """Search and return the matches in path and line order."""
    presentation = await present(context, arguments)
    with workspace_errors():
        result = await _search(context, arguments)
    rows = _fitting(context, result.matches)
    number = count(len(rows), "match", "matches")
    truncated = result.truncated or len(rows) < len(result.matches)
    if not rows:
        text = "(no matches)"
    elif truncated:
        text = "\n".join([*rows, f"(first {number}; narrow the search)"])
    else:
        text = "\n".join(rows)
    places = tuple(
        Location(path=match.path, line=match.line) for match in result.matches[:_MAX_LOCATIONS]
    )
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {'first ' if truncated else ''}{number}",
            "locations": places or presentation.locations,
            "content": (fenced(text),),
        }
    )
    display = context.workspace.display
    data: list[JsonValue] = [
        {"path": display(match.path), "line": match.line, "text": match.text}
        for match in result.matches
    ]
    return ToolResult(text, shown, data=data)


async def _search(context: ToolContext, arguments: SearchArguments) -> SearchResult:
    """Search below the path; the workspace itself is all of its roots."""
    workspace = context.workspace
    first, *further = workspace.roots
    target = workspace.resolve(arguments.path)
    # Roots may lie in each other, and a match is one match all the same.
    matches: dict[tuple[Path, int], SearchMatch] = {}
    truncated = False
    for root in [target, *further] if target == first else [target]:
        try:
            result = await workspace.search(
                arguments.pattern,
                root,
                regex=arguments.regex,
                limit=MAX_MATCHES,
                glob=arguments.glob,
            )
        except MissingFileError:
            if root == target:
                raise
            continue
        matches.update({(match.path, match.line): match for match in result.matches})
        truncated = truncated or result.truncated
    kept = tuple(matches.values())[:MAX_MATCHES]
    return SearchResult(kept, truncated or len(kept) < len(matches))


def _fitting(context: ToolContext, matches: tuple[SearchMatch, ...]) -> list[str]:
    """Return the rows of the first matches that fit into the result."""
    rows: list[str] = []
    used = _TRAILER_ROOM
    for match in matches:
        row = f"{context.workspace.display(match.path)}:{match.line}:{match.text.strip()}"
        used += len(row) + 1
        if used > context.limits.result_chars and rows:
            break
        rows.append(row)
    return rows


SEARCH = Tool(
    name="search",
    description=(
        "Search file contents; every match comes as path:number:text. A pattern in lower case "
        "matches any case."
    ),
    arguments=SearchArguments,
    effect="read",
    present=present,
    run=run,
    returns=Returns(
        list[Match],
        f"The first {MAX_MATCHES} lines that match. A pattern in lower case matches any case.",
    ),
)
