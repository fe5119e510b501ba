"""Which calls run, which need a person's answer, and which never run."""

from dataclasses import dataclass
from typing import assert_never

from punie.agent.events import Mode
from punie.agent.permissions.consulting import Malformed
from punie.agent.permissions.judging import Forbidden, Permitted, Unclear, Unruled, Verdict
from punie.agent.permissions.rules import Rule, name_target
from punie.tools.base import Effect

DENIED = "error: the user did not allow this call"
CANCELLED = "error: cancelled"
_PLAN_DENIED = (
    "error: plan mode only allows reading; say what you would change and let the user switch modes"
)
_FORBIDDEN = (
    "error: a rule of the user forbids {}; do not try it another way, say what you wanted to do"
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


def decide(
    mode: Mode, effect: Effect, verdict: Verdict | Malformed, *, unconfined: bool = False
) -> Decision:
    """Return what is to happen with a call of this effect of which the rules say this.

    Broken rules stop all but reading, of secret files too. Then what is forbidden never runs, in no
    mode; in plan mode only reading does. The other modes and the rules may then only allow more,
    but no mode allows what is about secret files, nor a command that is to run `unconfined` though
    the user wants a sandbox around it.
    """
    match verdict:
        case Malformed():
            if effect == "read" and not verdict.secret:
                return Allow()
            return Deny(malformed_result(verdict))
        case Forbidden():
            return Deny(forbidden_result(verdict.rule))
        case Unruled() | Unclear() | Permitted():
            pass
        case _:
            assert_never(verdict)
    secret = isinstance(verdict, Unruled) and verdict.secret
    if effect == "read":
        return Ask() if secret else Allow()
    match mode:
        case "plan":
            return Deny(_PLAN_DENIED)
        case "auto":
            # To run what may be forbidden would make the rule worth nothing.
            bare = unconfined and not isinstance(verdict, Permitted)
            return Ask() if secret or bare or isinstance(verdict, Unclear) else Allow()
        case "accept_edits":
            guarded = isinstance(verdict, Unruled) and verdict.guarded
            accepted = effect == "edit" and not guarded and not secret
        case "ask":
            accepted = False
        case _:
            assert_never(mode)
    return Allow() if accepted or isinstance(verdict, Permitted) else Ask()


def forbidden_result(rule: Rule) -> str:
    """Return what the model reads when a rule forbids a call."""
    return _FORBIDDEN.format(name_target(rule.tool, rule.target))


def malformed_result(malformed: Malformed) -> str:
    """Return what the model reads when a call did not run because the rules are broken."""
    return f"error: only reading is possible until the user corrects this: {malformed.sentence}"
