"""What a slash command gets to work with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from punie.acp.sessions import LiveSession
from punie.agent.cancel import CancelSignal
from punie.agent.events import PermissionAsked, TurnEvent

if TYPE_CHECKING:
    from punie.agent.turn_config import TurnConfig


@dataclass(frozen=True)
class CommandContext:
    """One use of a command: the session, and the text that followed the command's name.

    `emit` saves an event and shows it, `ask` puts a permission question, `change` sets an option
    of the session and tells the client; `cancel` is the signal of the command's turn. `config`
    opens the model and returns what a turn would run on now, or None if it cannot be opened.
    """

    session: LiveSession
    arguments: str
    cancel: CancelSignal
    emit: Callable[[TurnEvent], Awaitable[None]]
    ask: Callable[[PermissionAsked], Awaitable[str | None]]
    change: Callable[[str, object], Awaitable[bool]]
    config: Callable[[], Awaitable["TurnConfig | None"]]


Run = Callable[[CommandContext], Awaitable[str]]
"""Does what the command says and returns the answer for the person, in Markdown."""


def number_in(text: str, default: int, most: int) -> int | None:
    """Return the whole number that follows a command, from 1 to `most`; None for anything else."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if 0 < number <= most else None
