"""The protocol's methods. Each checks what came, and leaves the work to its own module."""

import contextlib
import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import anyio
import anyio.to_thread
from acp import RequestError
from acp.interfaces import Client
from acp.schema import (
    AgentCapabilities,
    AuthenticateResponse,
    AuthMethodAgent,
    ClientCapabilities,
    ConfigOptionUpdate,
    CurrentModeUpdate,
    Implementation,
    InitializeResponse,
    LoadSessionResponse,
    McpCapabilities,
    NewSessionResponse,
    PromptCapabilities,
    PromptResponse,
    SetSessionConfigOptionResponse,
    SetSessionModeResponse,
)
from anyio.abc import TaskGroup

from punie import __version__
from punie.acp.config_options import (
    MODE_OPTION,
    MODEL_OPTION,
    ConfigOption,
    config_options,
    mode_state,
    parse_mode,
    parse_model,
)
from punie.acp.errors import cancelled, internal, invalid, unknown_session
from punie.acp.history import HistoryUnavailable, SavedHistory
from punie.acp.models import ModelPool, default_reference
from punie.acp.prompt import ContentBlock, user_message
from punie.acp.replay import replay_updates
from punie.acp.sessions import LiveSession
from punie.acp.translate import SessionUpdate
from punie.acp.turns import TurnRunner, import_turn
from punie.acp.wire import Incoming
from punie.agent.cancel import CancelSignal
from punie.agent.events import Mode, ModeChanged, ModelChanged, TurnEvent
from punie.logs.setup import get_logger, open_log
from punie.models.catalog import available_models
from punie.settings import Settings, SettingsError

PROTOCOL_VERSION = 1
AUTH_METHOD = "local"
_log = get_logger(__name__)

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


def answered(handler: Handler) -> Handler:
    """Make a request cancellable, and keep what goes wrong inside from the client."""

    @functools.wraps(handler)
    async def wrapper(self: "PunieAgent", *, request: Incoming | None = None, **params: Any) -> Any:
        with anyio.CancelScope() as scope:
            if request is not None:
                request.on_cancel = scope.cancel
                if request.cancelled:
                    scope.cancel()
            try:
                return await handler(self, request=request, **params)
            except RequestError:
                raise
            except Exception as error:
                _log.exception("request failed", method=handler.__name__)
                raise internal() from error
        raise cancelled()

    return cast(Handler, wrapper)


class PunieAgent:
    """Answers one client. Sessions never see each other; everything is looked up by session id."""

    def __init__(self, settings: Settings, tasks: TaskGroup) -> None:
        self._settings = settings
        self._tasks = tasks
        self._history = SavedHistory(settings.sessions_file)
        self._models = ModelPool(tasks)
        self._sessions: dict[str, LiveSession] = {}
        self._loading = anyio.Lock()
        self._warm = False
        self._client: Client
        self._turns: TurnRunner

    def on_connect(self, client: Client) -> None:
        """Take the connection to the client; the SDK calls this before any method."""
        self._client = client
        self._turns = TurnRunner(client, self._history, self._models)

    def cancel_all(self) -> None:
        """End every running turn."""
        for session in self._sessions.values():
            session.cancel()

    async def aclose(self) -> None:
        """Close what is open."""
        await self._history.close()

    @answered
    async def initialize(
        self,
        protocol_version: int,
        client_capabilities: ClientCapabilities | None = None,
        client_info: Implementation | None = None,
        request: Incoming | None = None,
    ) -> InitializeResponse:
        """Shake hands. Nothing heavy happens before this is answered."""
        if request is not None:
            request.after_answer.append(self._begin_warm_up)
        jetbrains = client_info is not None and client_info.name.startswith("JetBrains")
        method = AuthMethodAgent(
            id=AUTH_METHOD,
            name="No sign-in",
            description="The model runs on this machine; there is nothing to sign in to.",
        )
        return InitializeResponse(
            protocol_version=PROTOCOL_VERSION,
            agent_info=Implementation(name="punie", title="Punie", version=__version__),
            agent_capabilities=AgentCapabilities(
                load_session=True,
                prompt_capabilities=PromptCapabilities(
                    image=False, audio=False, embedded_context=True
                ),
                mcp_capabilities=McpCapabilities(http=False, sse=False),
            ),
            # A JetBrains IDE would show a sign-in for it; the registry asks others to have one.
            auth_methods=[] if jetbrains else [method],
        )

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
        self, cwd: str, request: Incoming | None = None, **_: Any
    ) -> NewSessionResponse:
        """Open a session in a folder."""
        folder = await _folder(cwd)
        settings = self._settings_for(folder)
        session = await self._open(str(uuid4()), folder, settings, settings.mode, None, [])
        await self._history.create(session)
        self._sessions[session.id] = session
        self._prepare(request, session)
        _log.info("session opened", session=session.id, project=str(folder))
        return NewSessionResponse(
            session_id=session.id,
            modes=mode_state(session.mode),
            config_options=_options(session),
        )

    @answered
    async def load_session(
        self, cwd: str, session_id: str, request: Incoming | None = None, **_: Any
    ) -> LoadSessionResponse:
        """Open a stored session again and show the whole of it."""
        folder = await _folder(cwd)
        async with self._loading:
            session = self._sessions.get(session_id) or await self._restore(session_id, folder)
            self._sessions[session_id] = session
        running = session.turn is not None
        for update in replay_updates(tuple(session.events), running=running):
            await self._client.session_update(session_id=session_id, update=update)
        return LoadSessionResponse(modes=mode_state(session.mode), config_options=_options(session))

    @answered
    async def set_session_mode(
        self, session_id: str, mode_id: str, request: Incoming | None = None
    ) -> SetSessionModeResponse:
        """Change the permission mode, in the middle of a turn too."""
        session = self._session(session_id)
        if await self._change_mode(session, parse_mode(mode_id)):
            update = ConfigOptionUpdate(
                session_update="config_option_update", config_options=_options(session)
            )
            self._send_after(request, session, update)
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
        """Change the mode or the model; an IDE sends unchanged values before every prompt."""
        session = self._session(session_id)
        if config_id == MODE_OPTION:
            if await self._change_mode(session, parse_mode(value)):
                mode = CurrentModeUpdate(
                    session_update="current_mode_update", current_mode_id=session.mode
                )
                self._send_after(request, session, mode)
        elif config_id == MODEL_OPTION:
            model = parse_model(value, session.model, session.choices)
            if model != session.model:
                session.model = model
                await self._record(session, ModelChanged(model=model))
                self._models.begin(model)
        else:
            raise invalid(f"There is no option {config_id[:60]!r}; there are mode and model.")
        return SetSessionConfigOptionResponse(config_options=_options(session))

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
        turn = session.turn = CancelSignal()
        if request is not None:
            request.on_cancel = turn.cancel
            if request.cancelled:
                turn.cancel()
        try:
            ended = await self._turns.run(session, message, turn)
        except Exception as error:
            _log.exception("prompt failed", session=session_id)
            raise internal() from error
        finally:
            session.turn = None
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

    def _prepare(self, request: Incoming | None, session: LiveSession) -> None:
        """Begin to open a session's model as soon as the client has its answer."""

        def begin() -> None:
            if session.turn is None:
                self._models.begin(session.model)

        if request is not None:
            request.after_answer.append(begin)

    def _session(self, session_id: str) -> LiveSession:
        session = self._sessions.get(session_id)
        if session is None:
            raise unknown_session(session_id)
        return session

    def _settings_for(self, folder: Path) -> Settings:
        try:
            return self._settings.for_project(folder)
        except SettingsError as error:
            raise invalid(str(error)) from error

    async def _open(
        self,
        session_id: str,
        folder: Path,
        settings: Settings,
        mode: Mode,
        model: str | None,
        events: list[TurnEvent],
    ) -> LiveSession:
        def prepare() -> LiveSession:
            from punie.workspace.local import LocalWorkspace

            return LiveSession(
                id=session_id,
                cwd=folder,
                settings=settings,
                mode=mode,
                model=model or default_reference(settings.model),
                choices=available_models(settings.model),
                workspace=LocalWorkspace([folder]),
                events=events,
                saved=len(events),
            )

        return await anyio.to_thread.run_sync(prepare)

    async def _restore(self, session_id: str, folder: Path) -> LiveSession:
        try:
            stored = await self._history.read(session_id)
        except HistoryUnavailable as error:
            raise internal(f"The saved sessions cannot be read: {error}") from error
        if stored is None:
            raise unknown_session(session_id)
        record, events = stored
        settings = self._settings_for(folder)
        mode = parse_mode(record.meta.get("mode", settings.mode))
        model = record.meta.get("model")
        for event in events:
            if isinstance(event, ModeChanged):
                mode = event.mode
            elif isinstance(event, ModelChanged):
                model = event.model
        session = await self._open(session_id, folder, settings, mode, model, events)
        session.created = True
        return session

    async def _change_mode(self, session: LiveSession, mode: Mode) -> bool:
        if mode == session.mode:
            return False
        session.mode = mode
        await self._record(session, ModeChanged(mode=mode))
        return True

    async def _record(self, session: LiveSession, event: TurnEvent) -> None:
        async with session.order:
            with anyio.CancelScope(shield=True):
                await self._history.record(session, event)

    def _send_after(
        self, request: Incoming | None, session: LiveSession, update: SessionUpdate
    ) -> None:
        async def send() -> None:
            with contextlib.suppress(ConnectionError):
                await self._client.session_update(session_id=session.id, update=update)

        def start() -> None:
            self._tasks.start_soon(send)

        if request is not None:
            request.after_answer.append(start)


def _options(session: LiveSession) -> list[ConfigOption]:
    return config_options(session.mode, session.model, session.choices)


async def _folder(cwd: str) -> Path:
    folder = Path(cwd)
    if not folder.is_absolute() or "\0" in cwd:
        raise invalid(f"The working directory must be an absolute path, not {cwd[:200]!r}.")
    if not await anyio.to_thread.run_sync(folder.is_dir):
        raise invalid(f"There is no folder {cwd[:200]}.")
    return folder
