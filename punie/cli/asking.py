"""One prompt run in the terminal: puts settings, model, workspace, store and screen together."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never
from uuid import uuid4

import anyio
from anyio.abc import TaskStatus

from punie.agent.cancel import CancelSignal
from punie.agent.confinement import sandbox_options
from punie.agent.events import (
    Notice,
    PermissionAsked,
    PromptText,
    TurnEnded,
    TurnEvent,
    UserMessage,
    encode_event,
    is_stored,
)
from punie.agent.journal import PastTurns
from punie.agent.permissions.store import Permissions
from punie.agent.title import title_of
from punie.agent.turn import run_turn
from punie.agent.turn_config import turn_config
from punie.cli.help import discard_stdout, say
from punie.cli.screen import JsonScreen, Screen, TerminalScreen, open_terminal
from punie.logs.setup import configure_logging, get_logger, log_context
from punie.models.catalog import ModelUnavailable, resolve_model
from punie.models.load import close_models, open_model
from punie.models.options import engine_options
from punie.models.streaming import ModelUse
from punie.sessions.store import SessionStore, StoreError
from punie.settings import Settings, config_dir
from punie.tools.base import ReadLedger
from punie.tools.skills.finding import find_skills
from punie.tools.skills.tool import skill_tools
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.local import LocalWorkspace
from punie.workspace.processes import end_all_process_groups
from punie.workspace.text_files import reason

TROUBLE = 1
CANCELLED = 130

_log = get_logger(__name__)


@dataclass(frozen=True)
class Asking:
    """What the command line asked for."""

    prompt: str
    cwd: Path
    settings: Settings
    yes: bool
    as_json: bool


def run_prompt(asking: Asking) -> int:
    """Run the prompt to its end and return the exit code."""
    settings = asking.settings
    configure_logging(settings.state_dir, settings.log_level, asking.cwd, "ask")
    return anyio.run(_run, asking)


class _Stopper:
    """Ends the turn if there is one, so that it closes in order, and else all that is going on."""

    def __init__(self, everything: anyio.CancelScope) -> None:
        self._everything = everything
        self.turn: CancelSignal | None = None

    def stop(self) -> None:
        if self.turn is not None:
            self.turn.cancel()
        else:
            self._everything.cancel()


async def _run(asking: Asking) -> int:
    code = CANCELLED
    async with anyio.create_task_group() as group:
        stopper = _Stopper(group.cancel_scope)
        await group.start(_watch_signals, stopper)
        try:
            code = await _turn(asking, stopper)
        except ModelUnavailable as error:
            say(str(error))
            code = TROUBLE
        group.cancel_scope.cancel()
    with anyio.CancelScope(shield=True):
        await close_models()
    return code


async def _watch_signals(stopper: _Stopper, *, task_status: TaskStatus[None]) -> None:
    """End the turn on the first signal, and the program at once on the second."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        stopped = False
        async for _ in signals:
            if stopped:
                end_all_process_groups()
                os._exit(CANCELLED)
            stopped = True
            stopper.stop()


async def _turn(asking: Asking, stopper: _Stopper) -> int:
    settings = asking.settings
    choice = resolve_model(settings.model)
    terminal = open_terminal()
    screen: Screen
    screen = JsonScreen(terminal) if asking.as_json else TerminalScreen(terminal)
    model = await open_model(choice, screen.progress, engine_options(settings))
    for warning in model.warnings:
        say(warning)
    session_id = str(uuid4())
    use = ModelUse(owner=session_id, say=screen.progress)
    recorder = await _Recorder.open(asking, session_id, choice.id)
    trouble = False

    async def emit(event: TurnEvent) -> None:
        nonlocal trouble
        if isinstance(event, Notice) and event.severity == "error":
            trouble = True
        await recorder.append(event)
        try:
            await screen.show(event)
        except BrokenPipeError:
            # Whoever read our answer has gone: nobody is left to finish the turn for.
            trouble = True
            discard_stdout()
            stopper.stop()

    async def permission(question: PermissionAsked) -> str | None:
        return await screen.ask(question, yes=asking.yes)

    changes = Recorder(settings.checkpoints_folder(session_id))
    local = LocalWorkspace([asking.cwd], sandbox_options(settings, config_dir()))
    workspace = CheckpointedWorkspace(local, changes)
    skills = await find_skills(workspace, config_dir())
    for sentence in skills.troubles:
        _log.warning("a skill is left out", reason=sentence)
    config = turn_config(
        settings,
        model.used_by(use),
        workspace,
        ReadLedger(),
        lambda: settings.mode,
        ask_user=None if terminal is None else screen.question,
        more_tools=skill_tools(skills.skills),
        permissions=Permissions(config_dir(), asking.cwd),
        user_folder=config_dir(),
        watch=workspace.watch,
    )
    message = UserMessage(
        message_id=uuid4().hex, blocks=(PromptText(text=asking.prompt),), text=asking.prompt
    )
    try:
        with log_context(session=session_id):
            _log.info("turn started", model=choice.id, mode=settings.mode)
            stopper.turn = CancelSignal()
            ended = await run_turn(
                config, message, PastTurns(), emit=emit, ask=permission, cancel=stopper.turn
            )
            _log.info("turn ended", stop_reason=ended.stop_reason)
    finally:
        with anyio.CancelScope(shield=True):
            await workspace.aclose()
            await recorder.close()
            screen.close()
    return _exit_code(ended, trouble=trouble)


def _exit_code(ended: TurnEnded, *, trouble: bool) -> int:
    match ended.stop_reason:
        case "cancelled":
            return TROUBLE if trouble else CANCELLED
        case "end_turn":
            return TROUBLE if trouble else 0
        case "max_tokens":
            say("the answer was cut: it reached max_tokens.")
            return TROUBLE
        case "max_turn_requests":
            say("the turn was ended: it reached max_requests model calls.")
            return TROUBLE
        case "refusal":
            say("the model refused to answer.")
            return TROUBLE
        case _:
            assert_never(ended.stop_reason)


class _Recorder:
    """Stores the turn's events; when that fails the turn goes on and the person is told once."""

    def __init__(self, store: SessionStore | None, session_id: str) -> None:
        self._store = store
        self._session_id = session_id

    @classmethod
    async def open(cls, asking: Asking, session_id: str, model: str) -> "_Recorder":
        """Open the store and make the session; never fails."""
        recorder = cls(None, session_id)
        try:
            asking.settings.state_dir.mkdir(parents=True, exist_ok=True)
            store = SessionStore(asking.settings.sessions_file)
            recorder._store = store
            meta = {"model": model, "mode": asking.settings.mode}
            await store.create(session_id, str(asking.cwd), meta)
            await store.update(session_id, title=title_of(asking.prompt))
        except StoreError as error:
            await recorder._give_up(str(error))
        except OSError as error:
            folder = asking.settings.state_dir
            await recorder._give_up(
                f"the state folder {folder} cannot be used ({reason(error)}); choose another one "
                "with --state-dir."
            )
        return recorder

    async def append(self, event: TurnEvent) -> None:
        """Store one event, if it is one that is stored."""
        if self._store is not None and is_stored(event):
            try:
                await self._store.append(self._session_id, event.kind, encode_event(event))
            except StoreError as error:
                await self._give_up(str(error))

    async def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            await self._store.close()
            self._store = None

    async def _give_up(self, why: str) -> None:
        say(f"this session is not being saved: {why}")
        _log.warning("session is not being saved", reason=why)
        with contextlib.suppress(StoreError, OSError):
            await self.close()
        self._store = None
