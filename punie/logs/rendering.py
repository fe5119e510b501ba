"""Turns an event into one line of JSON. Imports structlog, so import this late."""

import os
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from punie.logs.masking import Masker

_OWN = ("time", "level", "logger", "command", "pid")


def make_renderer() -> Callable[[dict[str, Any]], str]:
    """Return a function from an entry to its line; secrets of the environment are masked."""
    masker = Masker(os.environ)

    def masked(
        logger: Any, method: str, entry: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        own = {name: entry[name] for name in _OWN if name in entry}
        rest = {name: value for name, value in entry.items() if name not in own}
        return {**own, **masker.mask(rest)}

    processors: tuple[Any, ...] = (
        structlog.processors.format_exc_info,
        masked,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    )

    def render(entry: dict[str, Any]) -> str:
        value: Any = entry
        for processor in processors:
            value = processor(None, "", value)
        return str(value)

    return render
