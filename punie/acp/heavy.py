"""The imports that take seconds on a cold machine."""

import threading

_one_at_a_time = threading.Lock()


def import_turn() -> None:
    """Import all that a turn needs; call it in a thread, and before any other import of that kind.

    While one thread is in the middle of a package, another one that asks for a module inside of
    it gets half of it and fails; so whoever comes second waits here.
    """
    with _one_at_a_time:
        import punie.agent.turn  # noqa: F401
