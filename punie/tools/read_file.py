"""read_file: a text file with line numbers, whole or a range of lines."""

from typing import assert_never

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
from punie.tools.subjects import ReadSubject
from punie.tools.wording import fenced, fitting_rows, split_lines
from punie.workspace.base import IsFolderError, LineRange, NotTextError, TooLargeError
from punie.workspace.file_kinds import Family

_TRAILER_ROOM = 80
# A character has at most this many bytes.
_BYTES_PER_CHAR = 4


class ReadFileArguments(ToolArguments):
    """Which file, and which of its lines."""

    path: str
    """The file, from the first root or absolute."""
    start_line: int | None = None
    """The first line to read, counted from 1."""
    end_line: int | None = None
    """The last line to read."""


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
    limit = context.limits.result_chars
    note = ""
    whole_text: str | None = None
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
        try:
            file = await context.workspace.read_text(path)
        except TooLargeError:
            if arguments.start_line is None and arguments.end_line is None:
                raise
            # It cannot be edited either, so nothing need be remembered of it.
            part = await context.workspace.read_lines(
                path,
                arguments.start_line or 1,
                arguments.end_line,
                limit=limit * _BYTES_PER_CHAR,
            )
        except IsFolderError as error:
            raise ToolError(f"{error}; use list_dir") from error
        except NotTextError as error:
            raise ToolError(f"{error}{_cure(error.family)}") from error
        else:
            part = _part(split_lines(file.text), arguments)
            note = file.note
            if arguments.start_line is None and arguments.end_line is None:
                whole_text = file.text
            if part.lines or part.first == 1:
                context.reads.saw(file.path, file.digest)
    if not part.lines and part.first > 1:
        shown = context.workspace.display(path)
        raise ToolError(f"{shown} ends at line {part.total}, before line {part.first}")
    text = numbered(part, limit, whole=_is_whole(part, arguments.end_line))
    content = fenced("\n".join(part.lines)[:limit], path.suffix[1:])
    data = "\n".join(part.lines) if whole_text is None else whole_text
    shown_result = presentation.model_copy(update={"content": (content,)})
    return noted(ToolResult(text, shown_result, data), note)


def _part(lines: list[str], arguments: ReadFileArguments) -> LineRange:
    first = arguments.start_line or 1
    last = min(arguments.end_line or len(lines), len(lines))
    # Stray carriage returns of a file with mixed line ends would only confuse the reader.
    shown = tuple(line.removesuffix("\r") for line in lines[first - 1 : last])
    return LineRange(shown, first, len(lines))


def _is_whole(part: LineRange, end_line: int | None) -> bool:
    """Tell whether these are all the lines that were asked for."""
    last = part.first + len(part.lines) - 1
    return last == part.total or last == end_line


def _cure(family: Family | None) -> str:
    """Say what can be done with a file that is not text."""
    match family:
        case "image" | "media":
            return "; ask the user what it shows"
        case "document":
            return "; get its text with run_command, as in pdftotext or pandoc"
        case "archive":
            return "; list it with run_command, as in tar -tf or unzip -l"
        case "program" | "data":
            return "; look at it with run_command and a program for it"
        case None:
            return ""
        case _:
            assert_never(family)


def numbered(part: LineRange, limit: int, *, whole: bool = True) -> str:
    """Return `number:line` rows in at most `limit` characters, saying where to go on when cut.

    `whole` tells that no more lines were asked for.
    """
    rows = [f"{number}:{line}" for number, line in enumerate(part.lines, start=part.first)]
    text = "\n".join(rows)
    if whole and len(text) <= limit:
        return text or "(empty)"
    room = max(limit - _TRAILER_ROOM, 1)
    kept = fitting_rows(rows, room, least=0)
    if not kept:
        # One line alone is too long: its start is better than nothing, and reading goes on after.
        kept = [rows[0][:room] + "… (line cut)"]
    last = part.first + len(kept) - 1
    of = "" if part.total is None else f" of {part.total}"
    more = f"; go on with start_line={last + 1}" if last != part.total else ""
    return "\n".join([*kept, f"(lines {part.first}-{last}{of}{more})"])


READ_FILE = Tool(
    name="read_file",
    description="Read a text file as number:text lines.",
    arguments=ReadFileArguments,
    effect="read",
    present=present,
    run=run,
    subject=lambda arguments: ReadSubject((arguments.path,)),
    returns=Returns(str, "The text of a file, or of a range of its lines."),
)
