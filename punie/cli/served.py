"""What `punie models` and `punie doctor` tell of a server's models and their server."""

from dataclasses import dataclass
from typing import Any

from punie.models.catalog import ENDPOINT_PREFIX, ModelUnavailable
from punie.models.endpoint import Endpoint
from punie.models.served import ServedModel, find_served, served_models

_SECONDS = 3.0


@dataclass(frozen=True)
class Served:
    """What a server has; `models` is None if it does not tell, `trouble` says why it cannot."""

    endpoint: Endpoint
    models: tuple[ServedModel, ...] | None
    trouble: str | None = None

    @property
    def ids(self) -> list[str]:
        """The references of its models."""
        return [ENDPOINT_PREFIX + model.name for model in self.models or ()]


def ask_server(endpoint: Endpoint) -> Served:
    """Ask a server for its models; it gets a few seconds."""
    try:
        return Served(endpoint, served_models(endpoint, _SECONDS))
    except ModelUnavailable as error:
        return Served(endpoint, None, str(error))


def find_model(endpoint: Endpoint, reference: str) -> ServedModel:
    """Return a server's model; raise `ModelUnavailable`."""
    return find_served(endpoint, reference.removeprefix(ENDPOINT_PREFIX))


def served_lines(served: Served, used: list[str]) -> list[str]:
    """Write what a server has for a person."""
    lines = ["", f"On the server {served.endpoint.url}:"]
    if served.trouble is not None:
        return [*lines, f"  {served.trouble}"]
    if served.models is None:
        lines.append("  it does not tell which models it has; name one as openai:NAME")
    for model in served.models or ():
        reference = ENDPOINT_PREFIX + model.name
        lines.append(f"{'*' if reference in used else ' '} {reference}")
        lines.append(f"    {window_text(served.endpoint.context or model.window)}")
    return lines


def served_json(served: Served, used: list[str]) -> list[dict[str, Any]]:
    """Return a server's models for `--json`."""
    return [
        {
            "id": reference,
            "source": "endpoint",
            "url": served.endpoint.url,
            "in_use": reference in used,
            "context": served.endpoint.context or model.window,
        }
        for reference, model in zip(served.ids, served.models or (), strict=True)
    ]


def window_text(window: int | None) -> str:
    """Say how much a model reads."""
    if window is None:
        return "how much it reads is not told; set openai_context"
    return f"reads {window:,} tokens"
