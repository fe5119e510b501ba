"""The imports that take seconds on a cold machine."""

import threading
from types import ModuleType

_one_at_a_time = threading.Lock()


def import_turn() -> None:
    """Import all that a turn needs; call it in a thread, and before any other import of that kind.

    While one thread is in the middle of a package, another one that asks for a module inside of
    it gets half of it and fails; so whoever comes second waits here.
    """
    with _one_at_a_time:
        import punie.agent.turn
        import punie.agent.undo  # noqa: F401


def import_mcp() -> ModuleType:
    """Import and return what speaks with MCP servers; call it in a thread too."""
    from punie.tools.mcp.connection import load_client

    import_turn()
    with _one_at_a_time:
        return load_client()
