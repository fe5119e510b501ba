"""A front end that stays: one session, many prompts, and a connection that comes back."""

import random
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import anyio

from punie.client.acp_socket import AcpSocket, ConnectionLost, RequestFailed, Tap
from punie.client.addresses import find_server
from punie.client.finding import NoServerPossible, ServerUnavailable
from punie.client.toad.callbacks import (
    Callbacks,
    ConnectionChange,
    OnUpdate,
    Told,
    tell,
    tell_state,
)
from punie.client.toad.capture import Capture, capturing
from punie.client.toad.connection import (
    Conversation,
    Handlers,
    Json,
    Prompt,
    opening,
    shake_hands,
)
from punie.settings import load_settings


@dataclass(frozen=True)
class Backoff:
    """How long to wait before each attempt to connect again: twice as long each time.

    A random part of up to a half is taken off, so that the clients of a server that was
    restarted do not come all at once. After `tries` attempts it is given up.
    """

    first_seconds: float = 0.5
    most_seconds: float = 30.0
    tries: int = 10

    def seconds(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        """Return the wait before attempt number 1, 2, …"""
        whole = min(self.most_seconds, self.first_seconds * 2.0 ** min(attempt - 1, 60))
        return whole * (1.0 - chance() / 2.0)


class ToadClient:
    """The session of `run_toad_client`, for the front end to act on."""

    def __init__(self, callbacks: Callbacks) -> None:
        self.session_id = ""
        self._callbacks = callbacks
        self._conversation: Conversation | None = None
        self._changed = anyio.Event()
        self._stopped = anyio.Event()
        self._over = False

    async def prompt(self, prompt: Prompt) -> Json:
        """Run a turn and return the agent's answer; while the connection is lost it waits.

        Raises `RequestFailed`, and `ConnectionLost` if the connection ends meanwhile: the turn is
        cancelled then, and is not begun again by itself. After the end of `run_toad_client` too.
        """
        conversation = await self._connected()
        try:
            answer = await conversation.prompt(self.session_id, prompt)
        except ConnectionLost:
            if self._conversation is conversation:
                self.now_has(None)  # the next prompt must not meet it again
            await tell(self._callbacks.on_turn_end, "connection_lost")
            raise
        except RequestFailed as error:
            await tell(self._callbacks.on_turn_end, f"failed: {error}")
            raise
        await tell(self._callbacks.on_turn_end, str(answer.get("stopReason")))
        return answer

    async def cancel(self) -> None:
        """End the turn that runs, if one does."""
        if self._conversation is not None:
            with suppress(ConnectionLost):
                await self._conversation.cancel(self.session_id)

    async def set_mode(self, mode: str) -> None:
        """Change the session's mode; raise `RequestFailed` if there is none of that name."""
        params = {"sessionId": self.session_id, "modeId": mode}
        await (await self._connected()).agent.request("session/set_mode", params)
        await tell(self._callbacks.on_mode, mode)

    async def set_config_option(self, option: str, value: str | bool) -> None:
        """Change one of the session's options; raise `RequestFailed` for what is not offered."""
        params: Json = {"sessionId": self.session_id, "configId": option, "value": value}
        if isinstance(value, bool):
            params["type"] = "boolean"
        agent = (await self._connected()).agent
        await tell_state(self._callbacks, await agent.request("session/set_config_option", params))

    def stop(self) -> None:
        """Have `run_toad_client` return; a turn that runs is cancelled."""
        self._stopped.set()

    async def wait_stopped(self) -> None:
        """Return when `stop` is called."""
        await self._stopped.wait()

    def now_has(self, conversation: Conversation | None) -> None:
        """Be connected, or not any more."""
        self._conversation = conversation
        self._changed.set()
        self._changed = anyio.Event()

    def end(self) -> None:
        """Be over: nothing waits for a connection any more."""
        self._over = True
        self.now_has(None)

    async def _connected(self) -> Conversation:
        while self._conversation is None:
            if self._over:
                raise ConnectionLost
            await self._changed.wait()
        return self._conversation


@dataclass(frozen=True)
class _Wanted:
    """Where to connect to, and what for."""

    server_url: str | None
    token: str | None
    state_dir: Path
    cwd: str | Path
    mcp_servers: Sequence[Mapping[str, Any]]
    callbacks: Callbacks
    handlers: Handlers
    backoff: Backoff
    settings: Mapping[str, str] | None
    tap: Tap | None


async def run_toad_client(
    server_url: str | None,
    cwd: str | Path,
    on_update: OnUpdate | None = None,
    *,
    callbacks: Callbacks | None = None,
    prompts: AsyncIterable[Prompt] | None = None,
    on_ready: Callable[[ToadClient], Told] | None = None,
    token: str | None = None,
    session_id: str | None = None,
    mcp_servers: Sequence[Mapping[str, Any]] = (),
    handlers: Handlers | None = None,
    capture: Capture | None = None,
    backoff: Backoff | None = None,
    state_dir: Path | None = None,
) -> None:
    """Keep a session open on a server until `prompts` are over, or `stop` is called.

    `on_update(update_type, update)` is told every update, `callbacks` each its kind. `prompts`
    are run one after the other; `on_ready` is told the `ToadClient` once, which runs prompts of
    its own, cancels and stops. A connection that is lost is opened again and the session resumed.

    The server, `token`, `session_id`, `capture` and `handlers` are those of
    `create_toad_session`. Raises `ServerUnavailable` if there is no server at the beginning, or
    not any more after all attempts, and `RequestFailed` if the session cannot be opened.
    """
    told = callbacks or Callbacks()
    if on_update is not None:
        told = replace(told, on_update=on_update)
    client = ToadClient(told)
    failures: list[Exception] = []
    with capturing(capture) as tap:
        settings = load_settings(state_dir=state_dir)
        own = None if server_url else settings.of_client()
        wanted = _Wanted(
            server_url, token, settings.state_dir, cwd, mcp_servers, told,
            handlers or {}, backoff or Backoff(), own, tap,
        )  # fmt: skip

        async with anyio.create_task_group() as tasks:

            async def until_over(part: Awaitable[None]) -> None:
                try:
                    await part
                except Exception as error:
                    failures.append(error)
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_over, _stay_connected(client, wanted, session_id, on_ready))
            tasks.start_soon(until_over, client.wait_stopped())
            if prompts is not None:
                tasks.start_soon(until_over, _run_all(client, prompts))
    client.end()
    if failures:
        raise failures[0]


async def _run_all(client: ToadClient, prompts: AsyncIterable[Prompt]) -> None:
    async for prompt in prompts:
        # How it ended was told; the next prompt may fare better.
        with suppress(RequestFailed, ConnectionLost):
            await client.prompt(prompt)


async def _stay_connected(
    client: ToadClient,
    wanted: _Wanted,
    session_id: str | None,
    on_ready: Callable[[ToadClient], Told] | None,
) -> None:
    tell_change = wanted.callbacks.on_connection
    method, params = opening(wanted.cwd, session_id, wanted.mcp_servers)
    state: Literal["open", "resumed"] = "open"
    attempt, reason = 0, ""
    while True:
        try:
            server = await find_server(wanted.server_url, wanted.state_dir, token=wanted.token)
            async with AcpSocket.open(server, settings=wanted.settings, tap=wanted.tap) as agent:
                conversation = await shake_hands(agent, wanted.callbacks, wanted.handlers)
                client.session_id = await conversation.open(method, params)
                attempt, reason = 0, ""
                await tell(tell_change, ConnectionChange(state, client.session_id))
                client.now_has(conversation)
                if state == "open":
                    await tell(on_ready, client)
                state = "resumed"
                method, params = "session/resume", {**params, "sessionId": client.session_id}
                await agent.wait_ended()
        except (ServerUnavailable, ConnectionLost) as error:
            if state == "open" or isinstance(error, NoServerPossible):
                raise
            reason = str(error)
        client.now_has(None)
        attempt += 1
        if attempt > wanted.backoff.tries:
            raise ServerUnavailable(f"The server did not come back: {reason}")
        seconds = wanted.backoff.seconds(attempt)
        lost = ConnectionChange("lost", client.session_id, attempt, seconds, reason)
        await tell(tell_change, lost)
        await anyio.sleep(seconds)
