"""Which models an OpenAI-compatible server says that it has. Blocks: call it in a thread."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from punie.models.catalog import ModelUnavailable
from punie.models.endpoint import KEY_VARIABLE, Endpoint, read_key

_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx")
"""What servers call the window of a model: vLLM, routers, LM Studio, llama.cpp."""
_SECONDS = 10.0
_LEAST_WINDOW = 256
_MOST_BYTES = 4_000_000


@dataclass(frozen=True)
class ServedModel:
    """A model by the server's name for it; `window` in tokens, None if the server does not tell."""

    name: str
    window: int | None


def served_models(endpoint: Endpoint, seconds: float = _SECONDS) -> tuple[ServedModel, ...] | None:
    """Ask a server for its models; None if it is there and does not tell.

    Raises `ModelUnavailable` if it cannot be reached in `seconds` or does not accept the key.
    """
    key = read_key(endpoint)
    request = urllib.request.Request(f"{endpoint.url}/models")
    if key is not None:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    # As for the model itself: no proxy on the way to this machine, and nobody else is asked.
    proxies = urllib.request.ProxyHandler({} if endpoint.is_local else None)
    try:
        with urllib.request.build_opener(proxies, _NoRedirects()).open(
            request, timeout=seconds
        ) as response:
            content = response.read(_MOST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            if error.code not in (401, 403):
                return None
        raise ModelUnavailable(
            f"The server at {endpoint.url} does not accept the key ({error.code}); "
            f"set {KEY_VARIABLE} or openai_key_file."
        ) from None
    except urllib.error.URLError:
        raise ModelUnavailable(
            f"The server at {endpoint.url} cannot be reached; start it, or correct "
            f"{endpoint.named_by}."
        ) from None
    except (OSError, http.client.HTTPException):
        return None
    return _listed(content)


def find_served(endpoint: Endpoint, name: str) -> ServedModel:
    """Return a model of a server with its window; raise `ModelUnavailable` if it is not there."""
    found = served_models(endpoint)
    for model in found or ():
        if model.name == name:
            return ServedModel(name, endpoint.context or model.window)
    if found:
        names = ", ".join(model.name for model in found[:5])
        raise ModelUnavailable(
            f"The server at {endpoint.url} has no model {name}; it has {names}"
            f"{' and more' if len(found) > 5 else ''}."
        )
    return ServedModel(name, endpoint.context)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow nobody who points to another server."""


def _listed(content: bytes) -> tuple[ServedModel, ...] | None:
    try:
        listed = json.loads(content)
    except ValueError:
        return None
    entries = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(entries, list):
        return None
    return tuple(
        ServedModel(entry["id"], _window(entry))
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    )


def _window(entry: Mapping[str, Any]) -> int | None:
    meta = entry.get("meta")
    for source in (entry, meta if isinstance(meta, dict) else {}):
        for name in _WINDOWS:
            value = source.get(name)
            if isinstance(value, int) and value >= _LEAST_WINDOW:
                return value
    return None
