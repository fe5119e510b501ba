"""search: lines of files that match a text or a regular expression."""

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired

from pydantic import JsonValue
from typing_extensions import TypedDict

from punie.tools.base import Returns, Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.guards import workspace_errors
from punie.tools.nearest_matches import nearest
from punie.tools.presentation import Location, Presentation
from punie.tools.subjects import ReadSubject
from punie.tools.wording import count, fenced, fitting_rows, one_line
from punie.workspace.base import MissingFileError
from punie.workspace.found import MatchCounts, SearchMatch, SearchOptions, SearchResult
from punie.workspace.roots import widest_first

MAX_MATCHES = 50
"""More matches of one search are never returned."""

MAX_FILES = 200
"""More files of one search are never returned."""

MAX_CONTEXT = 20
"""More lines around a match are never shown."""

_TRAILER_ROOM = 80
_MAX_LOCATIONS = 20


class SearchArguments(ToolArguments):
    """What to look for, and where."""

    pattern: str
    """The text to look for; in lower case it matches any case."""
    path: str = "."
    """The file or folder to look in."""
    regex: bool = False
    """Whether the pattern is a regular expression, as ripgrep reads it."""
    glob: str | None = None
    """Only in files of such names."""
    context: int = 0
    """Lines to show around each match."""
    counts: bool = False
    """Whether to show files and how many lines match, in place of the lines."""


class Match(TypedDict):
    """A line that matches, as code gets it; with counts a file and how many of its lines do."""

    path: str
    line: int
    text: str
    count: NotRequired[int]


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
    """Search and return the matches, or the files that have some, in path and line order."""
    presentation = await present(context, arguments)
    with workspace_errors():
        if arguments.counts:
            return await _files(context, arguments, presentation)
        result = await _search(context, arguments)
        if not result.matches:
            return await _nothing(context, arguments, presentation, result.secrets)
    rows, shown = _fitting(context, result.matches, whole_lines=arguments.context > 0)
    matches = [line for line in result.matches if line.matched]
    number = count(shown, "match", "matches")
    truncated = result.truncated or shown < len(matches)
    if truncated:
        rows.append(f"(first {number}; narrow the search)")
    rows += _left_out(result.secrets)
    title = f"{presentation.title}: {'first ' if truncated else ''}{number}"
    places = [Location(path=match.path, line=match.line) for match in matches[:_MAX_LOCATIONS]]
    display = context.workspace.display
    data: list[JsonValue] = [
        {"path": display(match.path), "line": match.line, "text": match.text} for match in matches
    ]
    return _result(presentation, title, rows, places, data)


def _result(
    presentation: Presentation,
    title: str,
    rows: Sequence[str],
    places: Sequence[Location],
    data: list[JsonValue],
) -> ToolResult:
    text = "\n".join(rows)
    update = {"title": title, "content": (fenced(text),)}
    if places:
        update["locations"] = tuple(places)
    return ToolResult(text, presentation.model_copy(update=update), data=data)


async def _nothing(
    context: ToolContext, arguments: SearchArguments, presentation: Presentation, secrets: int
) -> ToolResult:
    hint = await nearest(
        context.workspace,
        arguments.pattern,
        context.workspace.resolve(arguments.path),
        regex=arguments.regex,
        glob=arguments.glob,
    )
    text = f"(no matches; {hint})" if hint else "(no matches)"
    rows = [text, *_left_out(secrets)]
    return _result(presentation, f"{presentation.title}: 0 matches", rows, [], [])


def _left_out(secrets: int) -> list[str]:
    """Return a row that says how many files of the folder were not searched, if there are any."""
    if not secrets:
        return []
    return [f"({count(secrets, 'file')} here that may hold secrets not searched; name one as path)"]


async def _search(context: ToolContext, arguments: SearchArguments) -> SearchResult:
    """Search below the path; the workspace itself is all of its roots."""
    # Roots may lie in each other, and a match is one match all the same.
    lines: dict[tuple[Path, int], SearchMatch] = {}
    truncated = False
    secrets = 0
    options = SearchOptions(context=max(0, min(arguments.context, MAX_CONTEXT)))
    for root in _targets(context, arguments):
        try:
            result = await context.workspace.search(
                arguments.pattern,
                root,
                regex=arguments.regex,
                limit=MAX_MATCHES,
                glob=arguments.glob,
                options=options,
            )
        except MissingFileError:
            if root == context.workspace.resolve(arguments.path):
                raise
            continue
        for line in result.matches:
            lines.setdefault((line.path, line.line), line)
        truncated = truncated or result.truncated
        secrets += result.secrets
    kept: list[SearchMatch] = []
    matches = 0
    for line in lines.values():
        matches += line.matched
        if matches > MAX_MATCHES:
            return SearchResult(tuple(kept), truncated=True, secrets=secrets)
        kept.append(line)
    return SearchResult(tuple(kept), truncated, secrets)


def _targets(context: ToolContext, arguments: SearchArguments) -> list[Path]:
    first, *further = context.workspace.roots
    target = context.workspace.resolve(arguments.path)
    return [target, *further] if target == first else [target]


def _fitting(
    context: ToolContext, lines: Sequence[SearchMatch], *, whole_lines: bool
) -> tuple[list[str], int]:
    """Return the rows of the first lines that fit into the result, and how many are matches."""
    rows: list[str] = []
    before: SearchMatch | None = None
    for line in lines:
        mark = ":" if line.matched else "-"
        text = line.text.rstrip() if whole_lines else line.text.strip()
        row = f"{context.workspace.display(line.path)}{mark}{line.line}{mark}{text}"
        apart = before is not None and (before.path, before.line + 1) != (line.path, line.line)
        if whole_lines and apart:
            row = f"--\n{row}"
        rows.append(row)
        before = line
    kept = fitting_rows(rows, context.limits.result_chars - _TRAILER_ROOM)
    return kept, sum(line.matched for line in lines[: len(kept)])


async def _files(
    context: ToolContext, arguments: SearchArguments, presentation: Presentation
) -> ToolResult:
    found = await _count(context, arguments)
    if not found.counts:
        return await _nothing(context, arguments, presentation, found.secrets)
    display = context.workspace.display
    rows = fitting_rows(
        (f"{display(path)}:{number}" for path, number in found.counts),
        context.limits.result_chars - _TRAILER_ROOM,
    )
    lines = count(found.lines, "matching line")
    if len(rows) < found.files:
        rows.append(f"(first {len(rows)} of {found.files} files with {lines}; narrow the search)")
    rows += _left_out(found.secrets)
    title = f"{presentation.title}: {count(found.files, 'file')} with {lines}"
    places = [Location(path=path) for path, _ in found.counts[:_MAX_LOCATIONS]]
    data: list[JsonValue] = [
        {"path": display(path), "line": 0, "text": "", "count": number}
        for path, number in found.counts
    ]
    return _result(presentation, title, rows, places, data)


async def _count(context: ToolContext, arguments: SearchArguments) -> MatchCounts:
    counts: dict[Path, int] = {}
    files = lines = secrets = 0
    targets = _targets(context, arguments)
    for root in widest_first(targets):
        try:
            found = await context.workspace.count_matches(
                arguments.pattern,
                root,
                regex=arguments.regex,
                limit=MAX_FILES,
                glob=arguments.glob,
            )
        except MissingFileError:
            if root == targets[0]:
                raise
            continue
        # A root may lie in another one, whose files are known then.
        again = [number for path, number in found.counts if path in counts]
        counts.update(found.counts)
        files += found.files - len(again)
        lines += found.lines - sum(again)
        secrets += found.secrets
    return MatchCounts(tuple(counts.items())[:MAX_FILES], files, lines, secrets)


SEARCH = Tool(
    name="search",
    description="Search files; gives path:number:text.",
    arguments=SearchArguments,
    effect="read",
    present=present,
    run=run,
    subject=lambda arguments: ReadSubject((arguments.path,)),
    remarks=(
        f"At most {MAX_MATCHES} lines, {MAX_CONTEXT} around each; {MAX_FILES} files with counts.",
    ),
    returns=Returns(
        list[Match],
        f"The first {MAX_MATCHES} lines that match. A pattern in lower case matches any case.",
    ),
)
