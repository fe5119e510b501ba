"""Long results of MCP tools: what a model reads at first, and how it gets the rest."""

from collections import deque
from dataclasses import dataclass, field

from pydantic import Field

from punie.tools.base import (
    AnyTool,
    Tool,
    ToolArguments,
    ToolContext,
    ToolError,
    ToolResult,
)
from punie.tools.presentation import Presentation, TextContent
from punie.tools.wording import count, fenced

READ_RESULT = "read_mcp_result"
_KEPT_RESULTS = 8
_KEPT_CHARS = 2_000_000
_NOTE_ROOM = 200
_SHOWN_CHARS = 4_000


@dataclass
class LongResults:
    """The last results of a session that were too long to be shown at once, by number."""

    _texts: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=_KEPT_RESULTS))
    _last: int = 0

    def fit(self, text: str, limit: int) -> str:
        """Return the text if it fits; else its beginning and how to read on."""
        if len(text) <= limit:
            return text
        self._last += 1
        self._texts.append((self._last, text[:_KEPT_CHARS]))
        return _part(self._last, text[:_KEPT_CHARS], 0, limit)

    def tool(self) -> AnyTool:
        """Return the tool with which a model reads on."""

        async def present(context: ToolContext, arguments: _ReadArguments) -> Presentation:
            return Presentation(
                title=f"Read on in result {arguments.result} from {arguments.offset}", kind="read"
            )

        async def run(context: ToolContext, arguments: _ReadArguments) -> ToolResult:
            text = dict(self._texts).get(arguments.result)
            if text is None:
                raise ToolError("that result is no longer kept; make the call again")
            if not 0 <= arguments.offset < len(text):
                raise ToolError(f"offset must be from 0 to {len(text) - 1}")
            part = _part(arguments.result, text, arguments.offset, context.limits.result_chars)
            shown = await present(context, arguments)
            return ToolResult(part, shown.model_copy(update={"content": (for_person(part),)}))

        return Tool(
            name=READ_RESULT,
            description="Read on in a long result of an MCP tool.",
            arguments=_ReadArguments,
            effect="read",
            present=present,
            run=run,
        )


class _ReadArguments(ToolArguments):
    """Which result, and from where."""

    result: int = Field(description="Its number")
    offset: int = Field(description="Characters to skip")


def _part(number: int, text: str, offset: int, limit: int) -> str:
    room = max(limit - _NOTE_ROOM, limit // 2, 1)
    end = offset + room
    if end >= len(text):
        return text[offset:]
    # A whole line reads better than a piece of one, unless the lines are very long.
    line_end = text.rfind("\n", offset + room // 2, end)
    end = end if line_end < 0 else line_end + 1
    return (
        f"{text[offset:end]}\n(characters {offset} to {end} of {len(text)}; "
        f'{READ_RESULT} with {{"result": {number}, "offset": {end}}} reads on)'
    )


def for_person(text: str) -> TextContent:
    """Return what is shown under the call; a person needs less of it than the model."""
    if len(text) > _SHOWN_CHARS:
        more = count(len(text) - _SHOWN_CHARS, "character")
        text = f"{text[:_SHOWN_CHARS]}\n… {more} more"
    return fenced(text)
