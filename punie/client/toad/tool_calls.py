"""Tool calls as a front end shows them: the pieces that the agent sends, put together."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypedDict

Json = dict[str, Any]
_FIELDS = ("title", "kind", "status", "content", "locations", "rawInput", "rawOutput")
_OVER = frozenset({"completed", "failed"})


class ToolCallData(TypedDict):
    """All that is known of a call; what was never said is None, or an empty list."""

    title: str | None
    kind: str | None
    status: str | None
    content: list[Json]
    locations: list[Json]
    raw_input: Any
    raw_output: Any


OnToolCall = Callable[[str, ToolCallData], Awaitable[None] | None]


def is_tool_call(update: Mapping[str, Any]) -> bool:
    """Tell whether an update announces a tool call or says more of one."""
    return update.get("sessionUpdate") in ("tool_call", "tool_call_update")


class KnownCalls:
    """The calls of a session so far, by their ids, each as one whole update of the protocol."""

    def __init__(self) -> None:
        self._calls: dict[str, Json] = {}

    def merged(self, update: Mapping[str, Any]) -> Json:
        """Return an update of a call with what it leaves out filled in, and remember it."""
        call_id = str(update.get("toolCallId", ""))
        given = {key: value for key, value in update.items() if value is not None}
        whole = self._calls[call_id] = {**self._calls.get(call_id, {}), **given}
        return dict(whole)

    def drop_ended(self) -> None:
        """Forget the calls of which nothing more will come."""
        over = [name for name, call in self._calls.items() if call.get("status") in _OVER]
        for call_id in over:
            del self._calls[call_id]


def call_data(update: Mapping[str, Any]) -> ToolCallData:
    """Return what an update says of a call, under Python's names."""
    title, kind, status, content, locations, raw_input, raw_output = (
        update.get(name) for name in _FIELDS
    )
    return ToolCallData(
        title=title,
        kind=kind,
        status=status,
        content=content or [],
        locations=locations or [],
        raw_input=raw_input,
        raw_output=raw_output,
    )


async def handle_tool_update(
    update: Mapping[str, Any], on_tool_call: OnToolCall, known: KnownCalls | None = None
) -> bool:
    """Tell `on_tool_call(id, data)` of the call that an update is about; False if of none.

    The updates that `send_prompt_stream` and `run_toad_client` hand on are whole already. Whoever
    reads the wire gives the same `known` each time, into which the pieces are put together.
    """
    if not is_tool_call(update):
        return False
    whole = update if known is None else known.merged(update)
    told = on_tool_call(str(whole.get("toolCallId", "")), call_data(whole))
    if inspect.iscoroutine(told):
        await told
    return True
