"""Runs one prompt: the model is waited for, the turn's events are saved and then shown."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from anyio import CancelScope, create_task_group, to_thread

from punie.acp.changes import SessionChanges
from punie.acp.client import ClientConnection
from punie.acp.commands.context import CommandContext
from punie.acp.commands.table import CommandCall, command_call, unknown_command
from punie.acp.elicitation import ask_person
from punie.acp.errors import INTERNAL_SENTENCE
from punie.acp.heavy import import_turn
from punie.acp.history import UNSAVED, SavedHistory
from punie.acp.mcp import turn_tools
from punie.acp.models import ModelPool
from punie.acp.permissions import ask_client
from punie.acp.sessions import LiveSession
from punie.acp.skills import tools_of_skills
from punie.acp.translate import Translator
from punie.acp.updates import SessionUpdate
from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    Mode,
    Notice,
    PermissionAsked,
    TextDelta,
    TitleChanged,
    ToolStarted,
    ToolUnwritten,
    ToolWriting,
    TurnEnded,
    TurnEvent,
    UserMessage,
    is_stored,
)
from punie.agent.title import title_from_events
from punie.logs.setup import get_logger, log_context
from punie.models.catalog import ModelUnavailable
from punie.settings import config_dir
from punie.tools.base import Answered, NotAnswered, Question
from punie.workspace.environment import command_environment

if TYPE_CHECKING:
    from punie.agent.turn_config import TurnConfig
    from punie.models.streaming import StreamingModel

_log = get_logger(__name__)


class TurnRunner:
    """What the turns of all sessions share."""

    def __init__(
        self,
        client: ClientConnection,
        history: SavedHistory,
        models: ModelPool,
        changes: SessionChanges,
    ) -> None:
        self._client = client
        self._history = history
        self._models = models
        self._changes = changes

    async def run(
        self, session: LiveSession, message: UserMessage, cancel: CancelSignal
    ) -> TurnEnded:
        """Take a prompt to its end; trouble is told in the chat and never raised."""
        with log_context(session=session.id, project=str(session.cwd)):
            turn = _Turn(self._client, self._history, self._models, session, cancel)
            call = command_call(message.blocks)
            try:
                if call is None:
                    async with create_task_group() as tasks:
                        tasks.start_soon(_ask_login_shell, session.cwd)
                        ended = await turn.run(message)
                        tasks.cancel_scope.cancel()
                else:
                    change = partial(self._changes.by_agent, session)
                    ended = await turn.command(message, call, change)
            except Exception:
                _log.exception("turn failed")
                ended = await turn.close(INTERNAL_SENTENCE)
            session.writing.clear()
            if session.title is None:
                await turn.name()
            _log.info("turn ended", reason=ended.stop_reason)
            return ended


async def _ask_login_shell(project: Path) -> None:
    """Have it read its profile while the model reads the prompt: the first tool needs it."""
    try:
        await command_environment(project)
    except Exception:
        _log.exception("the environment of commands is not known yet")


class _Turn:
    def __init__(
        self,
        client: ClientConnection,
        history: SavedHistory,
        models: ModelPool,
        session: LiveSession,
        cancel: CancelSignal,
    ) -> None:
        self._client = client
        self._history = history
        self._models = models
        self._session = session
        self._cancel = cancel
        self._translator = Translator(session.profile)
        self._prompt_id = ""

    async def run(self, message: UserMessage) -> TurnEnded:
        session = self._session
        earlier = tuple(session.events)
        from punie.agent.undo import with_note

        message = await with_note(message, session.workspace.recorder.journal, session.cwd)
        await self.emit(message)
        self._prompt_id = message.message_id
        model = None
        trouble = None
        with self._cancel.watching():
            try:
                model = await self._models.get(session.model, self._say)
            except ModelUnavailable as error:
                trouble = str(error)
            if session.mcp is not None:
                await session.mcp.settle()
        if model is None:
            return await self.close(trouble)
        # Loaded by now: opening a model needs all of it.
        await to_thread.run_sync(import_turn, abandon_on_cancel=True)
        from punie.agent.journal import PastTurns
        from punie.agent.turn import run_turn

        await self._warn(model.warnings)
        config, notices = await self._config(model)
        for notice in notices:
            await self.emit(notice)
        past = session.past = session.past or PastTurns()
        past.catch_up(earlier)
        return await run_turn(
            config, message, past, emit=self.emit, ask=self._ask, cancel=self._cancel
        )

    async def _config(self, model: "StreamingModel") -> "tuple[TurnConfig, Sequence[Notice]]":
        """Return what a turn runs on, and what the person has to know of its tools."""
        from punie.agent.budget import context_window
        from punie.agent.turn_config import turn_config
        from punie.models.streaming import ModelUse

        session = self._session
        used = model.used_by(ModelUse(owner=session.id, say=self._say_aside))
        tools, notices = await turn_tools(session, context_window(used))
        config = turn_config(
            session.settings,
            used,
            session.workspace,
            session.reads,
            self._mode,
            thinking=session.thinking,
            ask_user=self._ask_user if session.profile.attended else None,
            more_tools=(*tools, *await tools_of_skills(session)),
            permissions=session.permissions,
            user_folder=config_dir(),
            watch=session.workspace.watch,
            warned=session.warned,
        )
        return config, notices

    async def _config_for_command(self) -> "TurnConfig | None":
        session = self._session
        try:
            model = await self._models.get(session.model, self._say_aside)
        except ModelUnavailable:
            return None
        if session.mcp is not None:
            await session.mcp.settle()
        await to_thread.run_sync(import_turn, abandon_on_cancel=True)
        return (await self._config(model))[0]

    async def command(
        self,
        message: UserMessage,
        call: CommandCall,
        change: Callable[[str, object], Awaitable[bool]],
    ) -> TurnEnded:
        """Answer a slash command; the model hears nothing of it."""
        await self.emit(message.model_copy(update={"command": call.name}))
        answer = ""
        with self._cancel.watching():
            answer = await self._answer(call, change)
        if answer:
            await self.emit(TextDelta(message_id=uuid4().hex, text=answer))
        return await self.close(None)

    async def _answer(
        self, call: CommandCall, change: Callable[[str, object], Awaitable[bool]]
    ) -> str:
        from punie.acp.commands.runs import RUNS

        run = RUNS.get(call.name)
        if run is None:
            return unknown_command(call.name)
        return await run(
            CommandContext(
                self._session,
                call.arguments,
                self._cancel,
                self.emit,
                self._ask,
                change,
                self._config_for_command,
            )
        )

    async def close(self, trouble: str | None) -> TurnEnded:
        """End a turn that the agent did not end, saying why."""
        if trouble is not None and not self._cancel.cancelled:
            await self.emit(Notice(severity="error", text=trouble))
        ended = TurnEnded(stop_reason="cancelled" if self._cancel.cancelled else "end_turn")
        await self.emit(ended)
        return ended

    async def name(self) -> None:
        """Give the session a title as soon as something was said that makes one."""
        title = title_from_events(self._session.events)
        if title is not None:
            await self._history.name(self._session, title)
            await self.emit(TitleChanged(title=title))

    async def emit(self, event: TurnEvent) -> None:
        """Save the event, unless it is of the moment, then show it."""
        if isinstance(event, UserMessage) and event.message_id == self._prompt_id:
            return  # It was saved before the model was there.
        session = self._session
        async with session.order:
            _note_writing(session, event)
            if is_stored(event):
                with CancelScope(shield=True):
                    await self._history.record(session, event)
            position = len(session.events)
            await self._show(self._translator.updates(event, position))
            if session.unsaved is not None and not session.told_unsaved:
                session.told_unsaved = True
                notice = Notice(severity="warning", text=_unsaved(session.unsaved))
                await self._show(self._translator.updates(notice, -position))

    async def _show(self, updates: list[SessionUpdate]) -> None:
        for update in updates:
            await self._client.update(self._session.id, update)

    async def _warn(self, warnings: Sequence[str]) -> None:
        """Tell what is wrong with the model that still works, once in a session."""
        for warning in warnings:
            if warning not in self._session.warned:
                self._session.warned.add(warning)
                await self.emit(Notice(severity="warning", text=warning))

    async def _say(self, text: str) -> None:
        await self.emit(Notice(severity="info", text=text))

    async def _say_aside(self, text: str) -> None:
        """Say what is of interest now and not worth keeping."""
        session = self._session
        async with session.order:
            notice = Notice(severity="info", text=text)
            await self._show(self._translator.updates(notice, -len(session.events) - 1))

    async def _ask(self, asked: PermissionAsked) -> str | None:
        return await ask_client(self._client, self._session.id, self._translator, asked)

    async def _ask_user(self, call_id: str, question: Question) -> Answered | NotAnswered:
        return await ask_person(self._client, self._session, call_id, question)

    def _mode(self) -> Mode:
        return self._session.mode


def _note_writing(session: LiveSession, event: TurnEvent) -> None:
    """Keep the calls that are being written, for a client that opens the session meanwhile."""
    match event:
        case ToolWriting():
            session.writing[event.call_id] = event
        case ToolStarted() | ToolUnwritten():
            session.writing.pop(event.call_id, None)
        case _:
            pass


def _unsaved(reason: str) -> str:
    return UNSAVED.format(reason.rstrip(".").strip())
