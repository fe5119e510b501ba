"""The protocol's methods. Each checks what came, and leaves the work to its own module."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from acp import RequestError
from acp.interfaces import Client
from acp.schema import (
    AuthenticateResponse,
    CloseSessionResponse,
    ForkSessionResponse,
    InitializeResponse,
    ListSessionsResponse,
    LoadSessionResponse,
    NewSessionResponse,
    PromptResponse,
    ResumeSessionResponse,
    SetSessionConfigOptionResponse,
    SetSessionModeResponse,
)
from anyio.abc import TaskGroup

from punie.acp.changes import SessionChanges
from punie.acp.client import ClientConnection
from punie.acp.commands.table import commands_update
from punie.acp.config_options import MODE_OPTION, config_options, mode_state
from punie.acp.editor import Editor
from punie.acp.errors import internal, invalid, unknown_session
from punie.acp.handshake import AUTH_METHOD, ClientProfile, initialize_response, read_profile
from punie.acp.heavy import import_turn
from punie.acp.history import HistoryUnavailable
from punie.acp.host import AgentHost
from punie.acp.listing import list_page
from punie.acp.mcp import give_servers, has_servers
from punie.acp.models import default_reference
from punie.acp.opening import SessionOpener, session_roots, unreadable
from punie.acp.prompt import ContentBlock, user_message
from punie.acp.read_ahead import read_ahead
from punie.acp.replay import replay_updates
from punie.acp.requests import Incoming, answered, text_param
from punie.acp.sessions import LiveSession, RunningTurn
from punie.acp.tool_calls import call_writing
from punie.acp.transport import AgentTransport
from punie.acp.turns import TurnRunner
from punie.acp.updates import SessionUpdate
from punie.logs.setup import get_logger, open_log
from punie.settings import Settings

_TAIL_SECONDS = 0.03
_log = get_logger(__name__)


class PunieAgent:
    """Answers one client. Sessions never see each other; everything is looked up by session id."""

    def __init__(
        self, host: AgentHost, tasks: TaskGroup, transport: AgentTransport, settings: Settings
    ) -> None:
        self._host = host
        self._settings = settings
        self._tasks = tasks
        self._transport = transport
        self._history = host.history
        self._models = host.models
        self._sessions: dict[str, LiveSession] = {}
        self._warm = False
        self._profile = ClientProfile()
        self._connection: ClientConnection
        self._opener: SessionOpener
        self._changes: SessionChanges
        self._turns: TurnRunner

    def on_connect(self, client: Client) -> None:
        """Take the connection to the client; the SDK calls this before any method."""
        self._connection = ClientConnection(client, self._transport)
        editor = Editor(self._connection, self._tasks)
        self._opener = SessionOpener(self._settings, self._history, editor)
        self._changes = SessionChanges(self._connection, self._history, self._models)
        self._turns = TurnRunner(self._connection, self._history, self._models, self._changes)

    def cancel_all(self) -> None:
        """End every running turn."""
        for session in self._sessions.values():
            session.cancel()

    async def let_go(self, session_id: str) -> None:
        """Close a session that another client takes over."""
        session = self._sessions.get(session_id)
        if session is not None:
            await self._close(session)

    async def aclose(self) -> None:
        """End every turn and close every session, all at a time."""
        self.cancel_all()
        async with anyio.create_task_group() as closing:
            for session_id in tuple(self._sessions):
                closing.start_soon(self._leave, session_id)

    @answered
    async def initialize(self, request: Incoming | None = None, **_: Any) -> InitializeResponse:
        """Shake hands. Nothing heavy happens before this is answered."""
        if request is not None:
            request.after_answer.append(self._begin_warm_up)
            self._profile = read_profile(request.params)
        return initialize_response(self._profile)

    @answered
    async def authenticate(
        self, method_id: str, request: Incoming | None = None
    ) -> AuthenticateResponse:
        """Accept the one method there is, as often as it is called."""
        if method_id != AUTH_METHOD:
            raise invalid(f"There is no way to sign in called {method_id[:60]!r}.")
        return AuthenticateResponse()

    @answered
    async def new_session(
        self,
        cwd: str,
        additional_directories: Sequence[str] | None = None,
        request: Incoming | None = None,
        **_: Any,
    ) -> NewSessionResponse:
        """Open a session in a folder."""
        roots = await session_roots(cwd, additional_directories)
        session = await self._opener.new(roots, self._profile)
        self._opened(request, session)
        self._tell_commands(request, session)
        return NewSessionResponse(
            session_id=session.id,
            modes=mode_state(session.mode),
            config_options=config_options(session),
        )

    @answered
    async def load_session(
        self,
        cwd: str,
        session_id: str,
        additional_directories: Sequence[str] | None = None,
        request: Incoming | None = None,
        **_: Any,
    ) -> LoadSessionResponse:
        """Open a stored session again and show the whole of it."""
        session = await self._reopen(session_id, cwd, additional_directories, request)
        running = session.turn is not None
        for update in replay_updates(tuple(session.events), session.profile, running=running):
            await self._connection.update(session_id, update)
        for writing in tuple(session.writing.values()):
            await self._connection.update(session_id, call_writing(writing))
        return LoadSessionResponse(
            modes=mode_state(session.mode), config_options=config_options(session)
        )

    @answered
    async def resume_session(
        self,
        cwd: str,
        session_id: str,
        additional_directories: Sequence[str] | None = None,
        request: Incoming | None = None,
        **_: Any,
    ) -> ResumeSessionResponse:
        """Open a stored session again for a client that still shows it."""
        session = await self._reopen(session_id, cwd, additional_directories, request)
        return ResumeSessionResponse(
            modes=mode_state(session.mode), config_options=config_options(session)
        )

    @answered
    async def fork_session(
        self,
        cwd: str,
        session_id: str,
        additional_directories: Sequence[str] | None = None,
        request: Incoming | None = None,
        **_: Any,
    ) -> ForkSessionResponse:
        """Go on with a copy of a session's history, under an id of its own."""
        roots = await session_roots(cwd, additional_directories)
        session = await self._opener.copied(session_id, roots, self._profile)
        self._opened(request, session)
        self._tell_commands(request, session)
        return ForkSessionResponse(
            session_id=session.id,
            modes=mode_state(session.mode),
            config_options=config_options(session),
        )

    @answered
    async def list_sessions(
        self,
        cwd: str | None = None,
        cursor: str | None = None,
        request: Incoming | None = None,
        **_: Any,
    ) -> ListSessionsResponse:
        """List the stored sessions, of one folder or of all."""
        return await list_page(self._history, cwd, cursor, self._host.holders.keys())

    @answered
    async def close_session(
        self, session_id: str, request: Incoming | None = None, **_: Any
    ) -> CloseSessionResponse:
        """End what a session is doing and let go of all it holds; its history stays."""
        self._session(session_id)
        await self._leave(session_id)
        return CloseSessionResponse()

    @answered
    async def delete_session(self, session_id: str, request: Incoming | None = None) -> None:
        """Forget a session; one that is not there is forgotten already."""
        async with self._host.alone_with(session_id):
            await self._host.take_from_others(session_id, self)
            await self.let_go(session_id)
            try:
                await self._host.forget(session_id)
            except HistoryUnavailable as error:
                raise unreadable(error) from error

    async def ext_method(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Serve the methods that the SDK does not route; no other extension is known."""
        request = params.get("request")
        if not isinstance(request, Incoming):
            raise RequestError.method_not_found(f"_{method}")
        if method == "session/delete":
            session_id = text_param(request.params, "sessionId", method)
            await self.delete_session(session_id=session_id, request=request)
        # The other one is `logout`: nobody is signed in, and nothing is kept of anyone.
        return {}

    @answered
    async def set_session_mode(
        self, session_id: str, mode_id: str, request: Incoming | None = None
    ) -> SetSessionModeResponse:
        """Change the permission mode, in the middle of a turn too."""
        session = self._session(session_id)
        if await self._changes.by_client(session, MODE_OPTION, mode_id):
            self._send_after(request, session, self._changes.updates(session, mode=False))
        return SetSessionModeResponse()

    @answered
    async def set_config_option(
        self,
        session_id: str,
        config_id: str,
        value: str | bool,
        request: Incoming | None = None,
        **_: Any,
    ) -> SetSessionConfigOptionResponse:
        """Change an option; an IDE sends unchanged values before every prompt."""
        session = self._session(session_id)
        changed = await self._changes.by_client(session, config_id, value)
        if changed and config_id == MODE_OPTION:
            self._send_after(request, session, self._changes.updates(session, mode=True)[:1])
        elif changed:
            # Another model, or another effort in its prompt, has to read from the beginning.
            self._read_ahead(request, session, after_turn=True)
        return SetSessionConfigOptionResponse(config_options=config_options(session) or [])

    async def prompt(
        self,
        session_id: str,
        prompt: Sequence[ContentBlock],
        request: Incoming | None = None,
        **_: Any,
    ) -> PromptResponse:
        """Run one turn. A session runs one at a time; another prompt meanwhile is refused."""
        session = self._session(session_id)
        if session.turn is not None:
            raise invalid(
                "A prompt is already running in this session; cancel it or wait until it ends."
            )
        message = user_message(prompt, session.cwd)
        # Nothing was awaited yet, so that a cancel right behind the prompt finds the turn.
        turn = session.turn = RunningTurn()
        if request is not None:
            request.on_cancel = turn.signal.cancel
            if request.cancelled:
                turn.signal.cancel()
        try:
            ended = await self._turns.run(session, message, turn.signal)
        except Exception as error:
            _log.exception("prompt failed", session=session_id)
            raise internal() from error
        finally:
            session.turn = None
            turn.over.set()
        if session.profile.jetbrains:
            # Builds before 2026-08-14 lose updates that still wait in them when the answer comes.
            await anyio.sleep(_TAIL_SECONDS)
        self._read_ahead(request, session, after_turn=True)
        return PromptResponse(stop_reason=ended.stop_reason)

    async def cancel(self, session_id: str, **_: Any) -> None:
        """End the running turn of a session; its prompt answers `cancelled`."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.cancel()

    def _begin_warm_up(self) -> None:
        if not self._warm:
            self._warm = True
            self._tasks.start_soon(self._warm_up)

    async def _warm_up(self) -> None:
        """Import what turns need and open the usual model, while the IDE is still busy."""
        try:
            await anyio.to_thread.run_sync(import_turn, abandon_on_cancel=True)
            await anyio.to_thread.run_sync(open_log, abandon_on_cancel=True)
            reference = await anyio.to_thread.run_sync(default_reference, self._settings.model)
            self._models.begin(reference)
        except Exception:
            _log.exception("warm-up failed")

    def _session(self, session_id: str) -> LiveSession:
        session = self._sessions.get(session_id)
        if session is None:
            raise unknown_session(session_id)
        return session

    def _opened(self, request: Incoming | None, session: LiveSession) -> None:
        """Take a session in; its model is opened as soon as the client has its answer."""
        self._sessions[session.id] = session
        self._host.holders[session.id] = self
        if request is not None:
            give_servers(session, request, self._history, self._tasks)
        _log.info("session opened", session=session.id, project=str(session.cwd))

        self._read_ahead(request, session, after_turn=False)

    def _read_ahead(
        self, request: Incoming | None, session: LiveSession, *, after_turn: bool
    ) -> None:
        def begin() -> None:
            if self._sessions.get(session.id) is session:
                task = partial(read_ahead, session, self._models, after_turn=after_turn)
                self._tasks.start_soon(task)

        self._after(request, begin)

    def _tell_commands(self, request: Incoming | None, session: LiveSession) -> None:
        """Send the commands as soon as the client has its answer and so knows the session."""
        self._send_after(request, session, [commands_update()])

    async def _reopen(
        self,
        session_id: str,
        cwd: str,
        additional: Sequence[str] | None,
        request: Incoming | None,
    ) -> LiveSession:
        roots = await session_roots(cwd, additional)
        async with self._host.alone_with(session_id):
            await self._host.take_from_others(session_id, self)
            session = self._sessions.get(session_id)
            if session is not None and _can_move(session, roots, request):
                await self._close(session)
                session = None
            if session is None:
                session = await self._opener.stored(session_id, roots, self._profile)
                self._opened(request, session)
        self._tell_commands(request, session)
        return session

    async def _leave(self, session_id: str) -> None:
        async with self._host.alone_with(session_id):
            await self.let_go(session_id)

    async def _close(self, session: LiveSession) -> None:
        """Let go of a session; returns when its turn has ended and nothing of it is left."""
        if self._sessions.pop(session.id, None) is not None:
            self._host.holders.pop(session.id, None)
        session.cancel()
        if session.turn is not None:
            await session.turn.over.wait()
        await session.aclose()
        _log.info("session closed", session=session.id)

    def _send_after(
        self, request: Incoming | None, session: LiveSession, updates: Sequence[SessionUpdate]
    ) -> None:
        async def send() -> None:
            for update in updates:
                await self._connection.update(session.id, update)

        def start() -> None:
            self._tasks.start_soon(send)

        self._after(request, start)

    @staticmethod
    def _after(request: Incoming | None, call: Callable[[], None]) -> None:
        if request is not None:
            request.after_answer.append(call)


def _can_move(session: LiveSession, roots: Sequence[Path], request: Incoming | None) -> bool:
    """Tell whether an open session is to be opened anew: for other folders or MCP servers."""
    same = list(roots) == list(session.roots) and has_servers(session, request)
    return not same and session.turn is None and session.unsaved is None
