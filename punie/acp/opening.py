"""Opens sessions: new ones, stored ones and copies of stored ones."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread

from punie.acp.changes import levels_of, thinking_of
from punie.acp.config_options import parse_mode
from punie.acp.editor import Editor
from punie.acp.errors import internal, invalid, unknown_session
from punie.acp.handshake import ClientProfile
from punie.acp.history import ADDITIONAL, HistoryUnavailable, SavedHistory
from punie.acp.models import default_reference
from punie.acp.served import ServedModels
from punie.acp.sessions import LiveSession
from punie.agent.events import ModeChanged, ModelChanged, Thinking, ThinkingChanged, TitleChanged
from punie.logs.setup import get_logger
from punie.models.catalog import available_models
from punie.models.options import endpoint_of
from punie.settings import Settings, SettingsError, config_dir

_log = get_logger(__name__)


class SessionOpener:
    """Makes live sessions; what a client asked for wrongly raises the protocol's error."""

    def __init__(self, settings: Settings, history: SavedHistory, editor: Editor) -> None:
        self._settings = settings
        self._history = history
        self._editor = editor
        self._served = ServedModels(endpoint_of(settings))

    async def new(self, roots: Sequence[Path], profile: ClientProfile) -> LiveSession:
        """Open a new session in the first of the folders, and save it."""
        settings = self._settings_for(roots[0])

        def build() -> LiveSession:
            model = default_reference(settings.model)
            return self._build(str(uuid4()), roots, profile, settings, model, None)

        session = await anyio.to_thread.run_sync(build)
        await self._offer_served(session)
        await self._history.create(session)
        return session

    async def stored(
        self, session_id: str, roots: Sequence[Path], profile: ClientProfile
    ) -> LiveSession:
        """Open a stored session as it was at its end."""
        try:
            found = await self._history.read(session_id)
        except HistoryUnavailable as error:
            raise unreadable(error) from error
        if found is None:
            raise unknown_session(session_id)
        record, events = found
        settings = self._settings_for(roots[0])
        mode = parse_mode(record.meta.get("mode", settings.mode))
        model = record.meta.get("model")
        thinking = record.meta.get("thinking")
        title = record.title
        for event in events:
            match event:
                case ModeChanged():
                    mode = event.mode
                case ModelChanged():
                    model = event.model
                case ThinkingChanged():
                    thinking = event.thinking
                case TitleChanged():
                    title = event.title
                case _:
                    pass

        def build() -> LiveSession:
            reference = model or default_reference(settings.model)
            return self._build(session_id, roots, profile, settings, reference, thinking)

        session = await anyio.to_thread.run_sync(build)
        await self._offer_served(session)
        session.mode, session.title = mode, title
        session.events, session.saved, session.created = events, len(events), True
        additional = [str(root) for root in roots[1:]]
        if additional != record.meta.get(ADDITIONAL, []):
            await self._history.note(session, **{ADDITIONAL: additional})
        return session

    async def copied(
        self, session_id: str, roots: Sequence[Path], profile: ClientProfile
    ) -> LiveSession:
        """Copy a stored session under a new id and open the copy; no file is touched."""
        new_id = str(uuid4())
        meta = {ADDITIONAL: [str(root) for root in roots[1:]]}
        try:
            found = await self._history.fork(session_id, new_id, str(roots[0]), meta)
        except HistoryUnavailable as error:
            raise unreadable(error) from error
        if not found:
            raise unknown_session(session_id)
        await self._copy_checkpoints(session_id, new_id)
        return await self.stored(new_id, roots, profile)

    async def _copy_checkpoints(self, session_id: str, new_id: str) -> None:
        from punie.workspace.checkpoints.keeping import copy_checkpoints

        folder = self._settings.checkpoints_folder
        try:
            await anyio.to_thread.run_sync(copy_checkpoints, folder(session_id), folder(new_id))
        except OSError:
            _log.exception("checkpoints not copied", session=session_id)

    async def _offer_served(self, session: LiveSession) -> None:
        """Offer what the user's server has beside what is on this machine."""
        known = {choice.id for choice in session.choices}
        served = await self._served.choices()
        new = [choice for choice in served if choice.id not in known]
        session.choices = (*session.choices, *new)

    def _settings_for(self, folder: Path) -> Settings:
        try:
            return self._settings.for_project(folder)
        except SettingsError as error:
            raise invalid(str(error)) from error

    def _build(
        self,
        session_id: str,
        roots: Sequence[Path],
        profile: ClientProfile,
        settings: Settings,
        model: str,
        thinking: Thinking | None,
    ) -> LiveSession:
        from punie.agent.confinement import sandbox_options
        from punie.agent.permissions.store import Permissions
        from punie.workspace.checkpoints.recorder import Recorder
        from punie.workspace.checkpoints.workspace import CheckpointedWorkspace

        sandbox = sandbox_options(settings, config_dir())
        levels = levels_of(model)
        return LiveSession(
            id=session_id,
            cwd=roots[0],
            roots=roots,
            profile=profile,
            settings=settings,
            mode=settings.mode,
            model=model,
            choices=available_models(settings.model),
            thinking=thinking_of(levels, thinking),
            thinking_levels=levels,
            workspace=CheckpointedWorkspace(
                self._editor.workspace(session_id, roots, profile, sandbox),
                Recorder(settings.checkpoints_folder(session_id)),
            ),
            permissions=Permissions(config_dir(), roots[0]),
        )


async def session_roots(cwd: str, additional: Sequence[str] | None) -> list[Path]:
    """Return the working directory and further roots; raise the invalid-params error."""
    return [
        await _folder(cwd, "The working directory"),
        *[await _folder(path, "An additional directory") for path in additional or ()],
    ]


def unreadable(error: HistoryUnavailable) -> Exception:
    """Return the error that says why stored sessions cannot be used."""
    return internal(f"The saved sessions cannot be read: {error}")


async def _folder(path: str, what: str) -> Path:
    folder = Path(path)
    if not folder.is_absolute() or "\0" in path:
        raise invalid(f"{what} must be an absolute path, not {path[:200]!r}.")
    if not await anyio.to_thread.run_sync(folder.is_dir):
        raise invalid(f"There is no folder {path[:200]}.")
    return folder
