"""A plugin of pytest, by which it tells no time: each duration that it prints is 0.00s.

A model that reads how long tests took reads something else each time, and may then go on in another
way. Pytest's own clock stands still with it; that of the tests goes on.
"""

from _pytest import timing


def _still() -> float:
    return 0.0


timing.perf_counter = _still
