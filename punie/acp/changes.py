"""Changing what a session runs with: by the client, or by the agent itself."""

from acp.schema import ConfigOptionUpdate, CurrentModeUpdate

from punie.acp.client import ClientConnection
from punie.acp.config_options import (
    MODE_OPTION,
    MODEL_OPTION,
    THOUGHT_OPTION,
    config_options,
    parse_mode,
    parse_model,
    parse_thinking,
)
from punie.acp.errors import invalid
from punie.acp.history import SavedHistory
from punie.acp.models import ModelPool
from punie.acp.sessions import LiveSession
from punie.acp.updates import SessionUpdate
from punie.agent.events import (
    ModeChanged,
    ModelChanged,
    Thinking,
    ThinkingChanged,
    TurnEvent,
)
from punie.models.catalog import ModelUnavailable, resolve_model
from punie.models.traits import thinking_levels


class SessionChanges:
    """The one place where mode, model and thinking change; every change is saved."""

    def __init__(
        self, connection: ClientConnection, history: SavedHistory, models: ModelPool
    ) -> None:
        self._connection = connection
        self._history = history
        self._models = models

    async def by_client(self, session: LiveSession, option: str, value: object) -> bool:
        """Take what the client set; tell whether that changed anything.

        JetBrains IDEs send all options again before each prompt. A value that is unchanged costs
        nothing, and the value that the agent has replaced a moment ago is such an echo once: only
        when it is sent again is it meant. Raises the invalid-params error.
        """
        event = _event(session, option, value)
        replaced = session.replaced.pop(option, None)
        if event is None or (session.profile.echoes and replaced == event):
            return False
        await self._apply(session, event)
        return True

    async def by_agent(self, session: LiveSession, option: str, value: object) -> bool:
        """Change an option and tell the client; tell whether that changed anything.

        Raises the invalid-params error, whose sentence says what there is to choose from.
        """
        event = _event(session, option, value)
        if event is None:
            return False
        session.replaced[option] = _current(session, option)
        await self._apply(session, event)
        for update in self.updates(session, mode=option == MODE_OPTION):
            await self._connection.update(session.id, update)
        return True

    def updates(self, session: LiveSession, *, mode: bool) -> list[SessionUpdate]:
        """Return the updates that tell of the options as they are; with `mode` of the modes too."""
        told: list[SessionUpdate] = []
        if mode:
            told.append(
                CurrentModeUpdate(
                    session_update="current_mode_update", current_mode_id=session.mode
                )
            )
        options = config_options(session)
        if options is not None:
            told.append(
                ConfigOptionUpdate(session_update="config_option_update", config_options=options)
            )
        return told

    async def _apply(self, session: LiveSession, event: TurnEvent) -> None:
        match event:
            case ModeChanged():
                session.mode = event.mode
            case ModelChanged():
                session.model = event.model
                session.thinking_levels = levels_of(event.model)
                session.thinking = thinking_of(session.thinking_levels, session.thinking)
                self._models.begin(event.model)
            case ThinkingChanged():
                session.thinking = event.thinking
            case _:
                raise TypeError(f"{event.kind} changes no option")
        await self._history.add(session, event)


def levels_of(model: str) -> tuple[Thinking, ...]:
    """Return what can be chosen of a model's thinking; empty for nothing."""
    try:
        return thinking_levels(resolve_model(model))
    except ModelUnavailable:
        return ()


def thinking_of(levels: tuple[Thinking, ...], before: Thinking | None = None) -> Thinking | None:
    """Return how a model is to think: as `before` where it can, else as it does by itself."""
    if not levels:
        return None
    return before if before in levels else True


def _event(session: LiveSession, option: str, value: object) -> TurnEvent | None:
    """Return the event that makes `value` the current one, None where it is; raise for others."""
    event: TurnEvent
    if option == MODE_OPTION:
        event = ModeChanged(mode=parse_mode(value))
    elif option == MODEL_OPTION:
        event = ModelChanged(model=parse_model(value, session.model, session.choices))
    elif option == THOUGHT_OPTION:
        if session.thinking is None:
            raise invalid("This model's thinking cannot be switched.")
        event = ThinkingChanged(thinking=parse_thinking(value, session.thinking_levels))
    else:
        names = ", ".join((MODE_OPTION, MODEL_OPTION, THOUGHT_OPTION))
        raise invalid(f"There is no option {option[:60]!r}; there are {names}.")
    return None if event == _current(session, option) else event


def _current(session: LiveSession, option: str) -> TurnEvent:
    if option == MODE_OPTION:
        return ModeChanged(mode=session.mode)
    if option == MODEL_OPTION:
        return ModelChanged(model=session.model)
    return ThinkingChanged(thinking=session.thinking or False)
