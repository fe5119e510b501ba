"""Puts the model's questions to the person in the IDE.

Through a form where the client has forms, else as a choice among a few answers in the way of a
permission question. Where neither fits, the model is told to ask in its answer.
"""

from acp import RequestError
from acp.helpers import text_block, tool_content
from acp.schema import (
    AcceptElicitationResponse,
    AllowedOutcome,
    ElicitationFormSessionMode,
    ElicitationSchema,
    ElicitationStringPropertySchema,
    PermissionOption,
    ToolCallUpdate,
)
from pydantic import ValidationError

from punie.acp.client import ClientConnection
from punie.acp.sessions import LiveSession
from punie.logs.setup import get_logger
from punie.tools.base import (
    ASK_IN_TEXT,
    DECLINED,
    Answered,
    NotAnswered,
    Question,
    QuestionCancelled,
)

MOST_OPTIONS = 4
"""More answers do not fit into a permission question."""

_NONE_OF_THESE = "none"
_CHOICE = "choice"
_ANSWER = "answer"
_log = get_logger(__name__)


async def ask_person(
    client: ClientConnection, session: LiveSession, call_id: str, question: Question
) -> Answered | NotAnswered:
    """Return what the person answers to the question of a tool call; there is no timeout.

    Raises `QuestionCancelled` when the client cancelled the turn in place of an answer.
    """
    if session.profile.elicitation_forms:
        try:
            return await _ask_by_form(client, session.id, call_id, question)
        except (RequestError, ValidationError):
            _log.warning("the client refused a form", exc_info=True)
    if 2 <= len(question.choices) <= MOST_OPTIONS:
        return await _ask_by_options(client, session.id, call_id, question)
    return NotAnswered(ASK_IN_TEXT)


async def _ask_by_form(
    client: ClientConnection, session_id: str, call_id: str, question: Question
) -> Answered | NotAnswered:
    mode = ElicitationFormSessionMode(
        session_id=session_id, tool_call_id=call_id, requested_schema=_form(question)
    )
    reply = await client.ask(client.sdk.create_elicitation(message=question.text, mode=mode))
    if not isinstance(reply, AcceptElicitationResponse):
        return NotAnswered(DECLINED)
    content = reply.content or {}
    # What was written says more than what was picked.
    for name in (_ANSWER, _CHOICE):
        value = content.get(name)
        if isinstance(value, str) and value.strip():
            return Answered(value.strip())
    return NotAnswered(DECLINED)


def _form(question: Question) -> ElicitationSchema:
    """Return one field to write in, and before it one to pick from where there are choices."""
    written = ElicitationStringPropertySchema(type="string", title="Answer")
    if not question.choices:
        return ElicitationSchema(properties={_ANSWER: written}, required=[_ANSWER])
    picked = ElicitationStringPropertySchema(
        type="string", title="Choice", enum=list(question.choices)
    )
    written.title = "Something else"
    return ElicitationSchema(properties={_CHOICE: picked, _ANSWER: written})


async def _ask_by_options(
    client: ClientConnection, session_id: str, call_id: str, question: Question
) -> Answered | NotAnswered:
    options = [
        PermissionOption(option_id=str(number), name=choice, kind="allow_once")
        for number, choice in enumerate(question.choices)
    ]
    options.append(
        PermissionOption(option_id=_NONE_OF_THESE, name="None of these", kind="reject_once")
    )
    call = ToolCallUpdate(
        tool_call_id=call_id,
        title=question.text,
        kind="other",
        status="in_progress",
        content=[tool_content(text_block(question.text))],
    )
    reply = await client.ask(
        client.sdk.request_permission(session_id=session_id, tool_call=call, options=options)
    )
    if not isinstance(reply.outcome, AllowedOutcome):
        raise QuestionCancelled
    chosen = {str(number): choice for number, choice in enumerate(question.choices)}
    choice = chosen.get(reply.outcome.option_id)
    return NotAnswered(DECLINED) if choice is None else Answered(choice)
