"""What goes wrong, as one plain sentence for the person: no tracebacks, inputs or addresses."""

from collections.abc import Sequence
from typing import Any

from acp import RequestError

from punie.wire.messages import (
    CANCELLED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    NOT_FOUND,
)

INTERNAL_SENTENCE = "Something went wrong inside Punie; `punie logs` has the details."
_LONGEST = 500


def invalid(sentence: str) -> RequestError:
    """Return the error for parameters that cannot be used."""
    return RequestError(INVALID_PARAMS, sentence)


def unknown_session(session_id: str) -> RequestError:
    """Return the error for a session that this agent does not know."""
    return RequestError(NOT_FOUND, f"There is no session {_short(session_id)}.")


def internal(sentence: str = INTERNAL_SENTENCE) -> RequestError:
    """Return the error for trouble on our side; details belong in the log, never in here."""
    return RequestError(INTERNAL_ERROR, sentence)


def cancelled() -> RequestError:
    """Return the error for a request that the client itself cancelled."""
    return RequestError(CANCELLED, "The request was cancelled.")


def plain_error(error: dict[str, Any], method: str) -> dict[str, Any]:
    """Make an error object of the SDK fit for people: one sentence, no data."""
    code, message, data = error["code"], str(error["message"]), error.get("data")
    if code == METHOD_NOT_FOUND:
        message = f"Unknown method: {_short(method)}."
    elif code == INVALID_PARAMS and isinstance(data, dict) and "errors" in data:
        message = _invalid_params(method, data["errors"])
    elif code == INTERNAL_ERROR and (data is not None or message == "Internal error"):
        # The SDK's own wrapping of an exception: its text may hold anything.
        message = INTERNAL_SENTENCE
    return {"code": code, "message": message[:_LONGEST]}


def _invalid_params(method: str, errors: Sequence[dict[str, Any]]) -> str:
    if not errors:
        return f"The parameters of {method} are not valid."
    first = errors[0]
    where = ".".join(_short(str(part), 40) for part in first.get("loc", ())) or "params"
    kind = str(first.get("type", ""))
    if kind == "missing":
        return f"{method} needs {where}."
    if kind.endswith("_type"):
        return f"{method} got {where} of the wrong type."
    return f"{method} got a value for {where} that is not valid."


def _short(text: str, limit: int = 100) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
