"""find_pattern: code of a certain form, however it is laid out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from pydantic import JsonValue
from typing_extensions import TypedDict

from punie.tools.base import Returns, Tool, ToolArguments, ToolContext, ToolError, ToolResult, noted
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.python.occurrences import files_with
from punie.tools.python.patterns import Match, Pattern, PatternError, matches, read_pattern
from punie.tools.python.places import fitted
from punie.tools.subjects import ReadSubject
from punie.tools.wording import count, fenced, one_line
from punie.workspace.base import TextFile

_SHOWN_CHARS = 80
_LINE_CHARS = 300
_MAX_LOCATIONS = 20
_NAMED_FILES = 3
_Found = tuple[TextFile, Match]


class FindPatternArguments(ToolArguments):
    """What to look for, and where."""

    pattern: str
    """Python code. `$X` stands for an expression or a name, the same one wherever it is repeated;
    `...` for anything, and for any number of arguments or statements."""
    path: str = "."
    """The file or folder."""


class PatternData(TypedDict):
    """Code that matches, as code gets it; `holes` has what each `$X` stands for."""

    path: str
    line: int
    end_line: int
    text: str
    holes: dict[str, str]


def _pattern(arguments: FindPatternArguments) -> Pattern:
    try:
        return read_pattern(arguments.pattern)
    except PatternError as error:
        raise ToolError(str(error)) from error


async def present(context: ToolContext, arguments: FindPatternArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside or a pattern that is none."""
    _pattern(arguments)
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
    shown = context.workspace.display(path)
    where = "" if shown == "." else f" in {shown}"
    return Presentation(
        title=f'Find "{one_line(arguments.pattern, _SHOWN_CHARS)}"{where}',
        kind="search",
        locations=(Location(path=path),),
    )


async def run(context: ToolContext, arguments: FindPatternArguments) -> ToolResult:
    """Return a row for each match, by file and line."""
    presentation = await present(context, arguments)
    pattern = _pattern(arguments)
    path = context.workspace.resolve(arguments.path)
    roots = context.workspace.roots
    places = list(roots) if path == roots[0] else [path]
    word = pattern.words[0] if pattern.words else None
    files = await files_with(context, word, places)
    found, broken = await _all_matches(pattern, files)
    rows = [
        f"{context.workspace.display(file.path)}:{match.line}:{_line(file, match)}"
        for file, match in found
    ]
    text = fitted(context, rows or ["(no matches)"], "narrow the pattern or the path")
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {count(len(found), 'match', 'matches')}",
            "locations": tuple(
                Location(path=file.path, line=match.line) for file, match in found[:_MAX_LOCATIONS]
            )
            or presentation.locations,
            "content": (fenced(text),),
        }
    )
    data: list[JsonValue] = [
        {
            "path": context.workspace.display(file.path),
            "line": match.line,
            "end_line": match.end_line,
            "text": _line(file, match),
            "holes": dict(match.bindings),
        }
        for file, match in found
    ]
    return noted(ToolResult(text, shown, data), _note(context, broken))


async def _all_matches(
    pattern: Pattern, files: Sequence[TextFile]
) -> tuple[list[_Found], list[Path]]:
    """Return the matches, and the files that are not Python."""
    found: list[_Found] = []
    broken: list[Path] = []
    for file in sorted(files, key=lambda file: str(file.path)):
        try:
            # One call for each file, so that a cancel need not wait for all of them.
            each = await anyio.to_thread.run_sync(partial(matches, pattern, file.text))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            broken.append(file.path)
            continue
        found += [(file, match) for match in each]
    return found, broken


def _line(file: TextFile, match: Match) -> str:
    lines = file.text.split("\n")
    return one_line(lines[match.line - 1], _LINE_CHARS)


def _note(context: ToolContext, broken: Sequence[Path]) -> str:
    if not broken:
        return ""
    names = ", ".join(context.workspace.display(path) for path in broken[:_NAMED_FILES])
    more = f" and {len(broken) - _NAMED_FILES} more" if len(broken) > _NAMED_FILES else ""
    return f"left out, as they are not valid Python: {names}{more}"


FIND_PATTERN = Tool(
    name="find_pattern",
    description="Find code like $X.get(...).",
    arguments=FindPatternArguments,
    effect="read",
    present=present,
    run=run,
    subject=lambda arguments: ReadSubject((arguments.path,)),
    returns=Returns(
        list[PatternData], "Find Python code like $X.get($Y, ...), with what each hole stands for."
    ),
)
