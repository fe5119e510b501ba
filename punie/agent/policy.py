"""Which calls run, which need a person's answer, and which never run, in each mode."""

from dataclasses import dataclass
from typing import assert_never

from punie.agent.events import Mode, PermissionChoice
from punie.tools.base import Effect

ALLOW_ONCE = "allow_once"
REJECT_ONCE = "reject_once"

CHOICES = (
    PermissionChoice(id=ALLOW_ONCE, name="Allow", kind="allow_once"),
    PermissionChoice(id=REJECT_ONCE, name="Deny", kind="reject_once"),
)
"""The answers offered; an answer is honoured exactly as it reads, so there is no "always" yet."""

DENIED = "error: the user did not allow this call"
CANCELLED = "error: cancelled"
_PLAN_DENIED = (
    "error: plan mode only allows reading; say what you would change and let the user switch modes"
)


@dataclass(frozen=True)
class Allow:
    """The call runs."""


@dataclass(frozen=True)
class Ask:
    """A person decides."""


@dataclass(frozen=True)
class Deny:
    """The call does not run; the model reads `result`."""

    result: str


Decision = Allow | Ask | Deny


def decide(mode: Mode, effect: Effect) -> Decision:
    """Return what is to happen with a call of this effect in this mode."""
    if mode == "auto" or effect == "read":
        return Allow()
    match mode:
        case "ask":
            return Ask()
        case "accept_edits":
            return Allow() if effect == "edit" else Ask()
        case "plan":
            return Deny(_PLAN_DENIED)
        case _:
            assert_never(mode)


def allows(choice: str | None) -> bool:
    """Tell whether the answer lets the call run; anything but a clear yes does not."""
    return choice == ALLOW_ONCE
