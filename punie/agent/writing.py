"""Shows calls while the model writes them, before they are whole."""

from dataclasses import dataclass, field
from typing import Any

import pydantic_core
from pydantic_ai.messages import ToolCallPart

from punie.agent.coalesce import Coalescer
from punie.agent.events import ToolWriting
from punie.agent.journal import Journal
from punie.agent.toolset import call_presentation
from punie.tools.base import AnyTool

_SECONDS = 0.3
"""Between two updates of one call."""


@dataclass
class _Written:
    """A call that is being written; `text` is the JSON of its arguments so far."""

    call_id: str
    message_id: str
    tool: AnyTool
    pieces: list[str] = field(default_factory=list)
    shown: bool = False


class CallWriting:
    """Follows the calls of one response, by their index among its parts.

    `pump` has to run in a task group meanwhile.
    """

    def __init__(self, journal: Journal, tools: tuple[AnyTool, ...]) -> None:
        self._journal = journal
        self._tools = {tool.name: tool for tool in tools}
        self._calls: dict[int, _Written] = {}
        self._open: dict[str, _Written] = {}
        self._pieces: Coalescer[str] = Coalescer(self._send, interval=_SECONDS)

    async def pump(self) -> None:
        """Show what was written, in the background, until cancelled."""
        await self._pieces.pump()

    async def begin(self, index: int, part: ToolCallPart, message_id: str) -> None:
        """Show that a call has begun; one that comes whole is not shown twice."""
        tool = self._tools.get(part.tool_name)
        if tool is None or isinstance(part.args, dict):
            return  # That there is no such tool is told when the call has ended.
        written = _Written(self._journal.new_call_id(part.tool_call_id), message_id, tool)
        self._calls[index] = self._open[written.call_id] = written
        if part.args:
            written.pieces.append(part.args)
        else:
            await self._show(written)

    async def more(self, index: int, arguments: str) -> None:
        """Add to the arguments of a call."""
        if index in self._calls:
            await self._pieces.add(self._calls[index].call_id, arguments)

    def end(self, index: int | None) -> str | None:
        """Forget a call that is whole now; return the id under which it was shown, if it was."""
        written = self._calls.pop(index, None) if index is not None else None
        if written is None:
            return None
        del self._open[written.call_id]
        return written.call_id if written.shown else None

    def abandon(self) -> None:
        """Forget the calls that will not be whole; `Journal` takes back what was shown of them."""
        self._calls.clear()
        self._open.clear()

    async def _send(self, call_id: str, text: str) -> None:
        written = self._open.get(call_id)
        if written is not None:  # What comes after the end is in the whole call.
            written.pieces.append(text)
            await self._show(written)

    async def _show(self, written: _Written) -> None:
        text = "".join(written.pieces)
        whole, arguments = _so_far(text, cut=False), _so_far(text, cut=True)
        shown = call_presentation(written.tool.name, whole, written.tool.effect)
        if written.tool.sketch is not None:
            shown = shown.model_copy(update={"content": written.tool.sketch(arguments)})
        written.shown = True
        await self._journal.emit(
            ToolWriting(
                call_id=written.call_id,
                message_id=written.message_id,
                tool=written.tool.name,
                arguments=arguments,
                presentation=shown,
            )
        )


def _so_far(text: str, *, cut: bool) -> dict[str, Any]:
    """Return the arguments in the beginning of a JSON text, with or without a string it cuts."""
    try:
        found = pydantic_core.from_json(text, allow_partial="trailing-strings" if cut else True)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
