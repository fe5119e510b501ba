"""What the person can choose in the IDE: the permission mode and the model.

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
from punie.agent.events import Mode
from punie.models.catalog import ModelChoice

MODE_OPTION = "mode"
MODEL_OPTION = "model"

ConfigOption = SessionConfigOptionSelect | SessionConfigOptionBoolean

_MODES: dict[Mode, tuple[str, str]] = {
    "ask": ("Ask", "Ask before every edit and every command"),
    "accept_edits": ("Accept edits", "Edit files without asking, ask before commands"),
    "plan": ("Plan", "Look and answer only; nothing is changed or run"),
    "auto": ("Auto", "Edit files and run commands without asking"),
}


def parse_mode(text: object) -> Mode:
    """Return the mode of that id; raise the protocol's invalid-params error otherwise."""
    for mode in _MODES:
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


def mode_state(mode: Mode) -> SessionModeState:
    """Return the modes with the current one."""
    return SessionModeState(
        current_mode_id=mode,
        available_modes=[
            SessionMode(id=id, name=name, description=description)
            for id, (name, description) in _MODES.items()
        ],
    )


def config_options(mode: Mode, model: str, choices: Sequence[ModelChoice]) -> list[ConfigOption]:
    """Return the complete list of options as they stand."""
    return [_mode_option(mode), _model_option(model, choices)]


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
            for id, (name, description) in _MODES.items()
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
