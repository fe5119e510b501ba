"""Names under which a model sees the tools of MCP servers: valid, unique and always the same."""

import hashlib
import re
from collections.abc import Sequence

LONGEST_NAME = 64
"""Characters of a tool's name that every model API takes."""

_PREFIX = "mcp__"
_SERVER_CHARS = 20
_TOOL_CHARS = LONGEST_NAME - len(_PREFIX) - _SERVER_CHARS - len("__")
_UNUSABLE = re.compile(r"[^A-Za-z0-9_-]+")


def server_slugs(names: Sequence[str]) -> list[str]:
    """Return one short name per server, in the order given; equal names get a number.

    A slug holds no double underscore and ends in none, so that the first one in a tool's name
    always tells the server from the tool.
    """
    slugs: list[str] = []
    for name in names:
        plain = re.sub(r"_+", "_", _UNUSABLE.sub("_", name)).strip("_")
        slug = base = plain[:_SERVER_CHARS].rstrip("_") or "server"
        number = 1
        while slug in slugs:
            number += 1
            suffix = f"-{number}"
            slug = base[: _SERVER_CHARS - len(suffix)].rstrip("_") + suffix
        slugs.append(slug)
    return slugs


def tool_names(slug: str, tools: Sequence[str]) -> dict[str, str]:
    """Return the name for the model of each tool of one server, by the server's own name for it.

    A name that has to be changed and would then be another tool's gets a piece of its hash.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    unchanged = [tool for tool in tools if _shortened(tool) == tool]
    for tool in [*unchanged, *tools]:
        if tool in names:
            continue
        short = _shortened(tool)
        salt = 0
        while short in taken:
            digest = hashlib.sha256(f"{salt}:{tool}".encode()).hexdigest()[:6]
            short = f"{short[: _TOOL_CHARS - 7]}-{digest}"
            salt += 1
        taken.add(short)
        names[tool] = f"{_PREFIX}{slug}__{short}"
    return {tool: names[tool] for tool in tools}


def _shortened(tool: str) -> str:
    short = _UNUSABLE.sub("_", tool) or "tool"
    if len(short) <= _TOOL_CHARS:
        return short
    digest = hashlib.sha256(tool.encode()).hexdigest()[:6]
    return f"{short[: _TOOL_CHARS - 7]}-{digest}"
