"""Which models an OpenAI-compatible server says that it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from punie.models.catalog import ModelUnavailable
from punie.models.endpoint import KEY_VARIABLE, Endpoint, read_key

_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx")
"""What servers call the window of a model: vLLM, routers, LM Studio, llama.cpp."""
_SECONDS = 10.0
_LEAST_WINDOW = 256


@dataclass(frozen=True)
class ServedModel:
    """A model by the server's name for it; `window` in tokens, None if the server does not tell."""

    name: str
    window: int | None


async def served_models(
    endpoint: Endpoint, seconds: float = _SECONDS
) -> tuple[ServedModel, ...] | None:
    """Ask a server for its models; None if it is there and does not tell.

    Raises `ModelUnavailable` if it cannot be reached in `seconds` or does not accept the key.
    """
    key = read_key(endpoint)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        async with httpx2.AsyncClient(
            timeout=seconds, trust_env=not endpoint.is_local, headers=headers
        ) as client:
            response = await client.get(f"{endpoint.url}/models")
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol):
        raise ModelUnavailable(
            f"The server at {endpoint.url} cannot be reached; start it, or correct openai_url."
        ) from None
    except httpx2.HTTPError:
        return None
    if response.status_code in (401, 403):
        raise ModelUnavailable(
            f"The server at {endpoint.url} does not accept the key ({response.status_code}); "
            f"set {KEY_VARIABLE} or openai_key_file."
        )
    return _listed(response)


async def find_served(endpoint: Endpoint, name: str) -> ServedModel:
    """Return a model of a server with its window; raise `ModelUnavailable` if it is not there."""
    found = await served_models(endpoint)
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


def _listed(response: httpx2.Response) -> tuple[ServedModel, ...] | None:
    try:
        content = response.json() if response.is_success else None
    except ValueError:
        return None
    entries = content.get("data") if isinstance(content, dict) else None
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
