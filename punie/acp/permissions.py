"""Asks the person in the IDE whether a tool call may run."""

from acp.schema import AllowedOutcome, PermissionOption

from punie.acp.client import ClientConnection
from punie.acp.translate import Translator
from punie.agent.events import PermissionAsked


async def ask_client(
    client: ClientConnection, session_id: str, translator: Translator, asked: PermissionAsked
) -> str | None:
    """Return the id of the chosen answer, or None when the question was cancelled.

    There is no timeout: people think. The question ends with the turn.
    """
    options = [
        PermissionOption(option_id=choice.id, name=choice.name, kind=choice.kind)
        for choice in asked.choices
    ]
    call = translator.permission_call(asked)
    answer = await client.ask(
        client.sdk.request_permission(session_id=session_id, tool_call=call, options=options)
    )
    outcome = answer.outcome
    return outcome.option_id if isinstance(outcome, AllowedOutcome) else None
