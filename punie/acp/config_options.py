"""What the person can choose in the IDE: the permission mode, the model and its thinking.

The mode is offered twice, as the protocol's older `modes` and as a config option, always the same.
"""

from collections.abc import Sequence
from typing import get_args

from acp.schema import (
    SessionConfigOptionBoolean,
    SessionConfigOptionSelect,
    SessionConfigSelectOption,
    SessionMode,
    SessionModeState,
)

from punie.acp.errors import invalid
from punie.acp.sessions import LiveSession
from punie.agent.events import Mode, Thinking
from punie.models.catalog import ModelChoice

MODE_OPTION = "mode"
MODEL_OPTION = "model"
THOUGHT_OPTION = "thought_level"

ConfigOption = SessionConfigOptionSelect | SessionConfigOptionBoolean

MODES: dict[Mode, tuple[str, str]] = {
    "ask": ("Ask", "Ask before every edit and every command"),
    "accept_edits": ("Accept edits", "Edit files without asking, ask before commands"),
    "plan": ("Plan", "Look and answer only; nothing is changed or run"),
    "auto": ("Auto", "Edit files and run commands without asking"),
}
"""The modes by their ids: what they are called and what they mean."""

_THOUGHT_NAME = "Thinking"
_THOUGHT_DESCRIPTION = "Whether the model thinks before it answers"
_EFFORT_DESCRIPTION = "How hard the model thinks before it answers"
_SWITCH: tuple[Thinking, ...] = (False, True)
_THOUGHT_LEVELS: dict[Thinking, tuple[str, str]] = {
    False: ("off", "Off"),
    True: ("on", "On"),
    "minimal": ("minimal", "Minimal"),
    "low": ("low", "Low"),
    "medium": ("medium", "Medium"),
    "high": ("high", "High"),
    "xhigh": ("xhigh", "Very high"),
    "max": ("max", "Maximal"),
}


def parse_mode(text: object) -> Mode:
    """Return the mode of that id; raise the protocol's invalid-params error otherwise."""
    for mode in MODES:
        if mode == text:
            return mode
    names = ", ".join(get_args(Mode))
    raise invalid(f"There is no mode {str(text)[:60]!r}; the modes are {names}.")


def parse_model(text: object, current: str, choices: Sequence[ModelChoice]) -> str:
    """Return the reference of an offered model; raise the invalid-params error otherwise."""
    offered = [current, *(choice.id for choice in choices)]
    if isinstance(text, str) and text in offered:
        return text
    raise invalid(f"The model {str(text)[:200]!r} is not one of those offered.")


def parse_thinking(value: object, levels: Sequence[Thinking]) -> Thinking:
    """Return how to think; raise the invalid-params error for anything but the values shown."""
    for level in levels:
        if value is level or value == _THOUGHT_LEVELS[level][0]:
            return level
    *others, last = [_THOUGHT_LEVELS[level][0] for level in levels]
    raise invalid(
        f"There is no thought level {str(value)[:60]!r}; there are {', '.join(others)} and {last}."
    )


def mode_state(mode: Mode) -> SessionModeState:
    """Return the modes with the current one."""
    return SessionModeState(
        current_mode_id=mode,
        available_modes=[
            SessionMode(id=id, name=name, description=description)
            for id, (name, description) in MODES.items()
        ],
    )


def config_options(session: LiveSession) -> list[ConfigOption] | None:
    """Return the complete list of options as they stand; None for a client that cannot use them."""
    if not session.profile.config_options:
        return None
    options: list[ConfigOption] = [
        _mode_option(session.mode),
        _model_option(session.model, session.choices),
    ]
    if session.thinking is not None:
        if session.profile.boolean_options and session.thinking_levels == _SWITCH:
            options.append(_boolean(session.thinking is True))
        else:
            options.append(_levels(session.thinking, session.thinking_levels))
    return options


def _mode_option(mode: Mode) -> ConfigOption:
    return SessionConfigOptionSelect(
        id=MODE_OPTION,
        name="Mode",
        description="What Punie may do without asking",
        category="mode",
        type="select",
        current_value=mode,
        options=[
            SessionConfigSelectOption(value=id, name=name, description=description)
            for id, (name, description) in MODES.items()
        ],
    )


def _model_option(model: str, choices: Sequence[ModelChoice]) -> ConfigOption:
    options = [
        SessionConfigSelectOption(
            value=choice.id, name=choice.title, description=choice.description
        )
        for choice in choices
    ]
    if all(choice.id != model for choice in choices):
        # The configured model cannot be opened; it stays visible as what is chosen.
        missing = SessionConfigSelectOption(
            value=model, name=model, description="Not available on this machine"
        )
        options.insert(0, missing)
    return SessionConfigOptionSelect(
        id=MODEL_OPTION,
        name="Model",
        description="The language model that answers",
        category="model",
        type="select",
        current_value=model,
        options=options,
    )


def _levels(thinking: Thinking, levels: tuple[Thinking, ...]) -> ConfigOption:
    return SessionConfigOptionSelect(
        id=THOUGHT_OPTION,
        name=_THOUGHT_NAME,
        description=_THOUGHT_DESCRIPTION if levels == _SWITCH else _EFFORT_DESCRIPTION,
        category="thought_level",
        type="select",
        current_value=_THOUGHT_LEVELS[thinking][0],
        options=[
            SessionConfigSelectOption(value=id, name=name)
            for id, name in map(_THOUGHT_LEVELS.__getitem__, levels)
        ],
    )


def _boolean(thinking: bool) -> ConfigOption:
    return SessionConfigOptionBoolean(
        id=THOUGHT_OPTION,
        name=_THOUGHT_NAME,
        description=_THOUGHT_DESCRIPTION,
        category="thought_level",
        type="boolean",
        current_value=thinking,
    )
