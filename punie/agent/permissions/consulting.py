"""Consults the rules of a project about one call, as they are at that moment."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from anyio import to_thread

from punie.agent.permissions.choices import ONCE, Offer, offers
from punie.agent.permissions.judging import (
    CommandCall,
    Forbidden,
    Permitted,
    Place,
    Unclear,
    Unruled,
    describe_call,
    judge,
)
from punie.agent.permissions.store import Permissions, PermissionsError
from punie.tools.base import AnyTool, ToolArguments
from punie.tools.subjects import CommandSubject
from punie.workspace.base import Confinement, Workspace


@dataclass(frozen=True)
class Malformed:
    """The rules cannot be read; `sentence` names the file, the line and the fault.

    `secret` tells that the call is about files that are likely to hold secrets.
    """

    sentence: str
    secret: bool = False


@dataclass(frozen=True)
class Consulted:
    """What the rules say of a call, and the answers to offer should a person be asked.

    `unconfined` tells that it would run something outside of the sandbox which the user wants: a
    command, or an edit of a file that others run later. `missing` tells why a command would if no
    sandbox works. `located` is where the paths that were judged led.
    """

    verdict: Unruled | Unclear | Permitted | Forbidden | Malformed
    offers: tuple[Offer, ...] = ONCE
    unconfined: bool = False
    missing: str = ""
    located: Mapping[str, Path | None] = field(default_factory=dict)


async def consult(
    permissions: Permissions | None, workspace: Workspace, tool: AnyTool, arguments: ToolArguments
) -> Consulted:
    """Read the rules anew and apply them; without a place for rules no answer is for good."""
    subject = None if tool.subject is None else tool.subject(arguments)
    runs = isinstance(subject, CommandSubject)
    confinement = await workspace.confinement() if runs else Confinement()
    # What Punie runs itself is started without a question, and not all of it in the sandbox.
    installed = Path(os.path.realpath(sys.prefix))
    inside = any(installed.is_relative_to(os.path.realpath(root)) for root in workspace.roots)
    own = [installed] if inside else []
    if permissions is not None:
        own.append(permissions.config_dir)
    place = Place(workspace, tuple(own), confined=confinement.active)
    call = await to_thread.run_sync(describe_call, tool, arguments, place)

    def look() -> Consulted:
        if permissions is None:
            return Consulted(judge((), call, place))
        try:
            rules = permissions.read().all
        except PermissionsError as error:
            without = judge((), call, place)
            secret = isinstance(without, Unruled) and without.secret
            return Consulted(Malformed(str(error), secret))
        verdict = judge(rules, call, place)
        if isinstance(verdict, Permitted | Forbidden):
            return Consulted(verdict)
        asked = isinstance(verdict, Unruled) and verdict.secret
        if tool.effect_with(arguments) == "read" and not asked:
            return Consulted(verdict)
        return Consulted(verdict, offers(call, rules, place))

    consulted = await to_thread.run_sync(look)
    leaves = isinstance(call, CommandCall) and call.unsandboxed
    if isinstance(consulted.verdict, Unruled) and consulted.verdict.guarded:
        # What runs a file such as a git hook later does so outside.
        confinement, leaves = await workspace.confinement(), True
    unconfined = bool(confinement.missing) or (leaves and confinement.wanted == "always")
    return replace(
        consulted,
        unconfined=unconfined,
        missing=confinement.missing if runs else "",
        located=dict(place.located),
    )
