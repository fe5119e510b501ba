"""One prompt in the terminal: a client of the user's server, or of an agent in this process."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from punie import __version__
from punie.cli.help import discard_stdout, say
from punie.cli.screen import JsonScreen, Screen, TerminalScreen
from punie.cli.terminal import open_terminal
from punie.client.acp_socket import AcpSocket, ConnectionLost, RequestFailed
from punie.client.finding import ServerUnavailable, ensure_server
from punie.settings import Settings

Json = dict[str, Any]

DONE = 0
TROUBLE = 1
CANCELLED = 130

_STOPPED = {
    "max_tokens": "the answer was cut: it reached max_tokens.",
    "max_turn_requests": "the turn was ended: it reached max_requests model calls.",
    "refusal": "the model refused to answer.",
}


@dataclass(frozen=True)
class Stored:
    """A stored session to go on in."""

    id: str
    cwd: str
    additional_directories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asking:
    """What the command line asked for.

    `chosen` are options of the session, by id, that were given as flags; `attached` is what came
    through a pipe beside the prompt.
    """

    prompt: str
    attached: str | None
    cwd: Path
    settings: Settings
    session: Stored | None
    chosen: dict[str, str]
    shared: bool
    yes: bool
    as_json: bool
    thoughts: bool


def run_prompt(asking: Asking) -> int:
    """Run the prompt to its end and return the exit code."""
    return anyio.run(_run, asking)


class _Stopper:
    """Ends the turn if there is one, so that it closes in order, and else all that is going on."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks
        self.turn: tuple[AcpSocket, str] | None = None

    def stop(self) -> None:
        if self.turn is not None:
            self._tasks.start_soon(self._cancel, *self.turn)
        else:
            self._tasks.cancel_scope.cancel()

    async def _cancel(self, agent: AcpSocket, session_id: str) -> None:
        try:
            await agent.notify("session/cancel", {"sessionId": session_id})
        except ConnectionLost:
            return  # The prompt hears of it too.


async def _run(asking: Asking) -> int:
    code = CANCELLED
    async with anyio.create_task_group() as tasks:
        stopper = _Stopper(tasks)
        await tasks.start(_watch_signals, stopper)
        try:
            async with _agent(asking) as agent:
                code = await _Conversation(asking, agent, stopper).run()
        except (ServerUnavailable, RequestFailed, ConnectionLost) as error:
            say(str(error))
            code = TROUBLE
        tasks.cancel_scope.cancel()
    return code


@asynccontextmanager
async def _agent(asking: Asking) -> AsyncIterator[AcpSocket]:
    if asking.shared:
        server = await ensure_server(asking.settings.state_dir)
        async with AcpSocket.open(server, settings=asking.settings.of_client()) as agent:
            yield agent
        return
    from punie.cli.in_process import agent_in_process
    from punie.logs.setup import configure_logging

    settings = asking.settings
    configure_logging(settings.state_dir, settings.log_level, asking.cwd, "ask")
    async with agent_in_process(settings) as agent:
        yield agent


async def _watch_signals(stopper: _Stopper, *, task_status: TaskStatus[None]) -> None:
    """Cancel the turn on the first signal, and end the program at once on the second."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        stopped = False
        async for _ in signals:
            if stopped:
                from punie.workspace.processes import end_all_process_groups

                end_all_process_groups()
                os._exit(CANCELLED)
            stopped = True
            stopper.stop()


class _Conversation:
    """The prompt's way to the agent, and what comes back."""

    def __init__(self, asking: Asking, agent: AcpSocket, stopper: _Stopper) -> None:
        self._asking = asking
        self._agent = agent
        self._stopper = stopper
        self._screen = _screen(asking)
        self._trouble = False
        self._early: list[Json] | None = []

    async def run(self) -> int:
        outcome: Json = {"stopReason": "cancelled"}
        try:
            session_id = await self._open()
            self._stopper.turn = (self._agent, session_id)
            outcome = await self._prompt(session_id)
        except ConnectionLost:
            outcome = {"error": _lost(self._stopper.turn)}
        except RequestFailed as error:
            outcome = {"error": str(error)}
        finally:
            self._stopper.turn = None
            try:
                self._screen.ended(outcome)
            except BrokenPipeError:
                self._trouble = True
                discard_stdout()
        if "error" in outcome:
            say(outcome["error"])
        return self._exit_code(outcome)

    async def _open(self) -> str:
        """Open the session with what the flags say, and return its id."""
        capabilities: Json = {"session": {"notices": {}, "compaction": {}}}
        if self._screen.attended:
            capabilities["elicitation"] = {"form": {}}
        else:
            capabilities["_meta"] = {"punie.unattended": True}
        await self._agent.initialize("punie-ask", __version__, capabilities)
        self._agent.on_notification("session/update", self._update)
        self._agent.on_request("session/request_permission", self._permission)
        self._agent.on_request("elicitation/create", self._question)
        stored = self._asking.session
        if stored is None:
            params: Json = {"cwd": str(self._asking.cwd), "mcpServers": []}
            opened = await self._agent.request("session/new", params)
            session_id = str(opened["sessionId"])
        else:
            session_id = stored.id
            params = {
                "sessionId": session_id,
                "cwd": stored.cwd,
                "mcpServers": [],
                "additionalDirectories": list(stored.additional_directories),
            }
            opened = await self._agent.request("session/resume", params)
        await self._choose(session_id, opened.get("configOptions") or ())
        return session_id

    async def _choose(self, session_id: str, options: Any) -> None:
        current = {option["id"]: option["currentValue"] for option in options}
        for option, value in self._asking.chosen.items():
            if current.get(option) != value:
                params = {"sessionId": session_id, "configId": option, "value": value}
                await self._agent.request("session/set_config_option", params)

    async def _prompt(self, session_id: str) -> Json:
        prompt: list[Json] = [{"type": "text", "text": self._asking.prompt}]
        if self._asking.attached is not None:
            resource = {"uri": "stdin:", "text": self._asking.attached, "mimeType": "text/plain"}
            prompt.append({"type": "resource", "resource": resource})
        params = {"sessionId": session_id, "prompt": prompt}
        self._shown(self._screen.began, {**params, "cwd": str(self._asking.cwd)})
        early, self._early = self._early or [], None
        for update in early:
            self._shown(self._screen.show, update)
        answer = await self._agent.request("session/prompt", params)
        return {"stopReason": answer["stopReason"]}

    def _update(self, params: Json) -> None:
        update = params["update"]
        if update.get("sessionUpdate") == "notice" and update.get("severity") == "error":
            self._trouble = True
        if self._early is None:
            self._shown(self._screen.show, update)
        else:
            self._early.append(update)

    def _shown(self, show: Any, what: Json) -> None:
        try:
            show(what)
        except BrokenPipeError:
            self._nobody_reads()

    def _nobody_reads(self) -> None:
        # Whoever read our answer has gone: nobody is left to finish the turn for.
        self._trouble = True
        discard_stdout()
        self._stopper.stop()

    async def _permission(self, params: Json) -> Json:
        chosen = None
        try:
            chosen = await self._screen.permission(params)
        except BrokenPipeError:
            self._nobody_reads()
        if chosen is None:
            return {"outcome": {"outcome": "cancelled"}}
        return {"outcome": {"outcome": "selected", "optionId": chosen}}

    async def _question(self, params: Json) -> Json:
        content = None
        try:
            content = await self._screen.question(params)
        except BrokenPipeError:
            self._nobody_reads()
        return (
            {"action": "decline"} if content is None else {"action": "accept", "content": content}
        )

    def _exit_code(self, outcome: Json) -> int:
        reason = outcome.get("stopReason")
        if reason in _STOPPED:
            say(_STOPPED[reason])
        if self._trouble or reason not in ("cancelled", "end_turn"):
            return TROUBLE
        return DONE if reason == "end_turn" else CANCELLED


def _screen(asking: Asking) -> Screen:
    terminal = open_terminal()
    if asking.as_json:
        return JsonScreen(terminal, yes=asking.yes)
    return TerminalScreen(terminal, yes=asking.yes, thoughts=asking.thoughts)


def _lost(turn: tuple[AcpSocket, str] | None) -> str:
    if turn is None:
        return "the server has gone away; try again."
    return (
        "the server went away in the middle of the turn; "
        f"`punie ask --session {turn[1][:8]} …` goes on in what it saved."
    )
