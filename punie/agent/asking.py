"""Puts a call before the person, and keeps what is answered for good."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import anyio.to_thread

from punie.agent.events import Notice, PermissionAnswered, PermissionAsked
from punie.agent.journal import Journal
from punie.agent.open_call import OpenCall
from punie.agent.permissions.choices import Offer
from punie.agent.permissions.store import Permissions, PermissionsError
from punie.agent.policy import DENIED, forbidden_result
from punie.tools.wording import one_line, visible

AskPermission = Callable[[PermissionAsked], Awaitable[str | None]]
"""Asks the person; returns the id of the chosen answer, or None when the question was cancelled."""

_BROKEN_RULES = "Nothing but reading runs until this is corrected: {}"
_NO_SANDBOX = (
    "No sandbox works here ({}), so commands are asked about that no rule allows; "
    "`punie doctor` says what would help."
)
_REMEMBERED = "Remembered: {}; `punie permissions` lists and revokes it."
_NOT_REMEMBERED = "Your answer holds for this call only and was not remembered: {}"

_NAMED_CHARS = 160

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asking:
    """Asks about the calls of one turn; `permissions` is where answers for good are kept.

    `warned` is what the person needs to know only once in a session, `told` once in a turn.
    """

    journal: Journal
    ask: AskPermission
    permissions: Permissions | None = None
    warned: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)

    async def about(
        self, open_call: OpenCall, offers: tuple[Offer, ...]
    ) -> Literal[True] | str | None:
        """Ask the person and store what is answered for good.

        Returns True for a yes, what the model reads for a no, and None when the question was
        cancelled. An answer that was not offered is a no.
        """
        if not open_call.may_ask:
            return DENIED
        call_id = open_call.part.tool_call_id
        asked = PermissionAsked(
            call_id=call_id,
            presentation=open_call.presentation,
            choices=tuple(offer.choice for offer in offers),
        )
        await self.journal.emit(asked)
        try:
            choice = await self.ask(asked)
        except Exception:
            _log.exception("asking for permission failed")
            choice = None
        taken = next((offer for offer in offers if offer.choice.id == choice), None)
        allowed = taken is not None and taken.allowed
        await self.journal.emit(PermissionAnswered(call_id=call_id, choice=choice, allowed=allowed))
        if choice is None:
            return None
        if taken is not None and taken.rules:
            await self._remember(taken)
        if allowed:
            return True
        return forbidden_result(taken.rules[0]) if taken is not None and taken.rules else DENIED

    async def _remember(self, taken: Offer) -> None:
        """Store the rules of an answer; if that fails, the answer holds for this call alone."""
        if self.permissions is None:
            raise ValueError("an answer for good was offered without a place to store it")
        try:
            await anyio.to_thread.run_sync(self.permissions.add, taken.rules)
        except PermissionsError as error:
            await self.journal.emit(Notice(severity="warning", text=_NOT_REMEMBERED.format(error)))
            return
        named = ", ".join(rule.about for rule in taken.rules)
        said = one_line(visible(f"{taken.rules[0].decision} {named}"), _NAMED_CHARS)
        await self.journal.emit(Notice(severity="info", text=_REMEMBERED.format(said)))

    async def warn_of(self, missing: str) -> None:
        """Say once why no sandbox works, if that is what `missing` tells."""
        if missing and missing not in self.warned:
            self.warned.add(missing)
            text = _NO_SANDBOX.format(missing)
            await self.journal.emit(Notice(severity="warning", text=text))

    async def tell_of_broken_rules(self, sentence: str) -> None:
        """Say once what is wrong with the rules."""
        if sentence not in self.told:
            self.told.add(sentence)
            text = _BROKEN_RULES.format(sentence)
            await self.journal.emit(Notice(severity="error", text=text))
