"""read_file: a text file with line numbers, whole or a range of lines."""

from pydantic import Field

from punie.tools.base import (
    Returns,
    Tool,
    ToolArguments,
    ToolContext,
    ToolError,
    ToolResult,
    noted,
)
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.wording import fenced, split_lines

_TRAILER_ROOM = 80


class ReadFileArguments(ToolArguments):
    """Which file, and which of its lines."""

    path: str = Field(description="File, relative to the workspace")
    start_line: int | None = Field(default=None, description="First line, from 1")
    end_line: int | None = Field(default=None, description="Last line, included")


def _title(shown: str, arguments: ReadFileArguments) -> str:
    start, end = arguments.start_line, arguments.end_line
    if start is None and end is None:
        return f"Read {shown}"
    if end is None:
        return f"Read {shown} (from line {start})"
    return f"Read {shown} (lines {start or 1}-{end})"


async def present(context: ToolContext, arguments: ReadFileArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside or an impossible range."""
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
    start, end = arguments.start_line, arguments.end_line
    if start is not None and start < 1:
        raise ToolError(f"start_line is {start}, but lines are counted from 1")
    if end is not None and end < (start or 1):
        raise ToolError(f"end_line {end} comes before line {start or 1}")
    return Presentation(
        title=_title(context.workspace.display(path), arguments),
        kind="read",
        locations=(Location(path=path, line=start),),
    )


async def run(context: ToolContext, arguments: ReadFileArguments) -> ToolResult:
    """Read the file and remember what the model saw of it."""
    presentation = await present(context, arguments)
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
        file = await context.workspace.read_text(path)
    # Stray carriage returns of a file with mixed line ends would only confuse the reader.
    lines = [line.removesuffix("\r") for line in split_lines(file.text)]
    first = arguments.start_line or 1
    if first > max(len(lines), 1):
        raise ToolError(
            f"{context.workspace.display(path)} ends at line {len(lines)}, before line {first}"
        )
    last = min(arguments.end_line or len(lines), len(lines))
    context.reads.saw(file.path, file.digest)
    shown = lines[first - 1 : last]
    text = numbered(shown, first, len(lines), context.limits.result_chars)
    content = fenced("\n".join(shown)[: context.limits.result_chars], path.suffix[1:])
    whole = arguments.start_line is None and arguments.end_line is None
    data = file.text if whole else "\n".join(shown)
    result = ToolResult(text, presentation.model_copy(update={"content": (content,)}), data)
    return noted(result, file.note)


def numbered(lines: list[str], first: int, total: int, limit: int) -> str:
    """Return `number:line` rows in at most `limit` characters, saying where to go on when cut."""
    rows = [f"{number}:{line}" for number, line in enumerate(lines, start=first)]
    whole = "\n".join(rows)
    if len(whole) <= limit:
        return whole or "(empty)"
    room = max(limit - _TRAILER_ROOM, 1)
    kept: list[str] = []
    used = 0
    for row in rows:
        if used + len(row) + 1 > room:
            break
        kept.append(row)
        used += len(row) + 1
    if not kept:
        # One line alone is too long: its start is better than nothing, and reading goes on after.
        kept = [rows[0][:room] + "… (line cut)"]
    last = first + len(kept) - 1
    more = f"; go on with start_line={last + 1}" if last < total else ""
    return "\n".join([*kept, f"(lines {first}-{last} of {total}{more})"])


READ_FILE = Tool(
    name="read_file",
    description="Read a text file; every line comes as number:text.",
    arguments=ReadFileArguments,
    effect="read",
    present=present,
    run=run,
    returns=Returns(str, "The text of a file, or of a range of its lines."),
)
