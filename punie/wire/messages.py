"""One line from the client becomes one sound JSON-RPC message, or a `WireError` that says why not.

The SDK trusts its transport: a batch, an unhashable id or a `_meta` key named like a parameter
would crash it or override what the client asked for. Everything of that kind ends here.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
CANCELLED = -32800
NOT_FOUND = -32002

RequestId = str | int | float | None


class WireError(Exception):
    """A line that cannot be taken; `code` and the message are what the client is answered."""

    def __init__(self, code: int, message: str, request_id: RequestId = None) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id


@dataclass(frozen=True)
class Request:
    """A call that wants an answer."""

    id: RequestId
    method: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Notification:
    """A call without an answer."""

    method: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Response:
    """The client's answer to a request of ours, as the SDK takes it; None if it answers nothing."""

    message: dict[str, Any] | None


Message = Request | Notification | Response


def parse_line(line: bytes) -> Message:
    """Decode and check one line; raise `WireError` for anything that is no message."""
    value = _decode(line)
    if isinstance(value, list):
        raise WireError(INVALID_REQUEST, "Batches are not part of this protocol.")
    if not isinstance(value, dict):
        raise WireError(INVALID_REQUEST, "A message must be a JSON object.")
    request_id = _checked_id(value)
    if value.get("jsonrpc") != "2.0":
        raise WireError(INVALID_REQUEST, 'A message must say "jsonrpc": "2.0".', request_id)
    if "method" not in value:
        return _response(value, request_id)
    method = value["method"]
    if not isinstance(method, str):
        raise WireError(INVALID_REQUEST, "The method must be a string.", request_id)
    params = value.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise WireError(INVALID_PARAMS, "The params must be an object.", request_id)
    if "id" in value:
        return Request(request_id, method, params)
    return Notification(method, params)


def without_meta(params: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Split params into those that name parameters and the client's `_meta`.

    The SDK also reads `_meta` under its Python name `field_meta`, which no client may use.
    """
    meta = params.get("_meta")
    plain = {key: value for key, value in params.items() if key not in ("_meta", "field_meta")}
    return plain, meta if isinstance(meta, dict) else {}


def error_message(request_id: RequestId, code: int, sentence: str) -> dict[str, Any]:
    """Return the JSON-RPC error answer with one plain sentence."""
    error = {"code": code, "message": sentence}
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def _decode(line: bytes) -> Any:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WireError(PARSE_ERROR, "The line is not UTF-8.") from None
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise WireError(PARSE_ERROR, "The JSON is nested too deeply.") from None
    except ValueError:
        raise WireError(PARSE_ERROR, "The line is not valid JSON.") from None
    if "\\u" in text:
        return _without_lone_surrogates(value)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


def _without_lone_surrogates(value: Any) -> Any:
    # Half of a surrogate pair is legal JSON, but no text: nothing could store or print it.
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-8", "replace"))
    except RecursionError:
        raise WireError(PARSE_ERROR, "The JSON is nested too deeply.") from None
    return value


def _checked_id(value: dict[str, Any]) -> RequestId:
    request_id = value.get("id")
    if request_id is None or (
        isinstance(request_id, str | int | float) and not isinstance(request_id, bool)
    ):
        return request_id
    raise WireError(INVALID_REQUEST, "The id must be a string, a number or null.")


def _response(value: dict[str, Any], request_id: RequestId) -> Response:
    if not ("result" in value or "error" in value):
        raise WireError(
            INVALID_REQUEST, "A message needs a method, a result or an error.", request_id
        )
    if not isinstance(request_id, int):
        return Response(None)  # Our requests have whole numbers; an answer is never answered.
    if "result" in value:
        return Response({"jsonrpc": "2.0", "id": request_id, "result": value["result"]})
    given = value["error"] if isinstance(value["error"], dict) else {}
    code, text = given.get("code"), given.get("message")
    error = {
        "code": code if isinstance(code, int) else INTERNAL_ERROR,
        "message": text if isinstance(text, str) else "The client gave no reason.",
        "data": given.get("data"),
    }
    return Response({"jsonrpc": "2.0", "id": request_id, "error": error})
