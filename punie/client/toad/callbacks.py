"""What a front end is told: one callback for each kind of update, all of them optional."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from punie.client.toad.tool_calls import OnToolCall, ToolCallData, handle_tool_update

Json = dict[str, Any]
Told = Awaitable[object] | None
OnUpdate = Callable[[str, Json], Told]
"""Is told the kind of an update and the update, as on the wire; those of tool calls are whole."""


@dataclass(frozen=True)
class PermissionQuestion:
    """The agent asks whether a call may run. `options` have `optionId`, `name` and `kind`."""

    session_id: str
    call_id: str
    call: ToolCallData
    options: tuple[Json, ...]

    def option(self, kind: str) -> str | None:
        """Return the id of the first option of a kind, such as `allow_once`."""
        return next((each["optionId"] for each in self.options if each.get("kind") == kind), None)


OnPermission = Callable[[PermissionQuestion], Awaitable[str | None]]
"""Returns the id of an option, or None to cancel; is cancelled when the agent stops waiting."""


@dataclass(frozen=True)
class ConnectionChange:
    """The connection is `open`, `lost` or `resumed`.

    When it is lost, `attempt` number 1, 2, … to connect begins in `seconds`; `reason` says why the
    one before failed.
    """

    state: Literal["open", "lost", "resumed"]
    session_id: str
    attempt: int = 0
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Callbacks:
    """What a front end wants to hear; each may be a plain or an async function.

    They are called one after the other, in the order of the wire; a mode may be told twice.
    `on_permission` may take its time; without it every question is answered with no. `on_update`
    sees every update besides.
    """

    on_text: Callable[[str], Told] | None = None
    on_thought: Callable[[str], Told] | None = None
    on_user_text: Callable[[str], Told] | None = None
    on_tool_call: OnToolCall | None = None
    on_plan: Callable[[list[Json]], Told] | None = None
    on_mode: Callable[[str], Told] | None = None
    on_commands: Callable[[list[Json]], Told] | None = None
    on_config_options: Callable[[list[Json]], Told] | None = None
    on_usage: Callable[[int, int], Told] | None = None
    """Tokens used, and tokens that there are."""
    on_title: Callable[[str], Told] | None = None
    on_notice: Callable[[str, str], Told] | None = None
    """`info`, `warning` or `error`, and the sentence."""
    on_compaction: Callable[[str], Told] | None = None
    on_update: OnUpdate | None = None
    on_permission: OnPermission | None = None
    on_turn_end: Callable[[str], Told] | None = None
    """The stop reason, `connection_lost`, or `failed: ` and the agent's sentence."""
    on_connection: Callable[[ConnectionChange], Told] | None = None

    def capabilities(self) -> Json:
        """Return what the client offers by them, for the handshake."""
        session: Json = {"configOptions": {"boolean": {}}}
        if self.on_notice is not None:
            session["notices"] = {}
        if self.on_compaction is not None:
            session["compaction"] = {}
        return {"session": session}


async def tell(callback: Callable[..., Told] | None, *values: Any) -> None:
    """Call a callback, if there is one, and wait for it if it is async.

    A task that it began and returns is not waited for.
    """
    if callback is not None:
        told = callback(*values)
        if inspect.iscoroutine(told):
            await told


async def tell_update(callbacks: Callbacks, update: Json) -> None:
    """Tell an update, whose call is whole if it is about one, to the callbacks for it."""
    kind = str(update.get("sessionUpdate", ""))
    await tell(callbacks.on_update, kind, update)
    match kind:
        case "agent_message_chunk":
            await _tell_text(callbacks.on_text, update)
        case "agent_thought_chunk":
            await _tell_text(callbacks.on_thought, update)
        case "user_message_chunk":
            await _tell_text(callbacks.on_user_text, update)
        case "tool_call" | "tool_call_update":
            if callbacks.on_tool_call is not None:
                await handle_tool_update(update, callbacks.on_tool_call)
        case "plan":
            await tell(callbacks.on_plan, update.get("entries", []))
        case "available_commands_update":
            await tell(callbacks.on_commands, update.get("availableCommands", []))
        case "usage_update":
            await tell(callbacks.on_usage, update.get("used", 0), update.get("size", 0))
        case "session_info_update" if update.get("title") is not None:
            await tell(callbacks.on_title, update["title"])
        case "notice":
            await tell(callbacks.on_notice, update.get("severity", "info"), update.get("title", ""))
        case "compaction_update":
            await tell(callbacks.on_compaction, _joined(update.get("summary") or []))
        case "current_mode_update" | "config_option_update":
            await tell_state(callbacks, update)


async def tell_state(callbacks: Callbacks, state: Mapping[str, Any]) -> None:
    """Tell the mode and the options, where an update or the answer that opens a session has them.

    An agent that has its modes among its options says only these: the mode is told all the same.
    """
    modes, options = state.get("modes"), state.get("configOptions")
    mode = state.get("currentModeId")
    if mode is None and isinstance(modes, dict):
        mode = modes.get("currentModeId")
    if mode is None and isinstance(options, list):
        mode = next(
            (each.get("currentValue") for each in options if each.get("id") == "mode"), None
        )
    if mode is not None:
        await tell(callbacks.on_mode, mode)
    if isinstance(options, list):
        await tell(callbacks.on_config_options, options)


async def _tell_text(callback: Callable[[str], Told] | None, update: Json) -> None:
    text = _joined([update.get("content") or {}])
    if text:
        await tell(callback, text)


def _joined(blocks: list[Json]) -> str:
    return "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
