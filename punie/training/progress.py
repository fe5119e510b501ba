"""How a long step tells how far it is, and how it is asked to stop.

Every step takes a `Reporter` and a `Stopped`. The command line shows what is reported, and a
pipeline writes it down for `punie pipeline status`.
"""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from punie.training.errors import TrainingError


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes:
        doing: what is going on, in a word or two, such as "training".
        done: how much is done, in `unit`.
        total: how much there is to do; None if nobody knows.
        unit: what is counted, such as "examples", "steps" or "bytes".
        metrics: figures of this moment by name, such as loss or tokens per second.
        waits: whether nothing is done because another process has to end first.
    """

    doing: str
    done: float
    total: float | None
    unit: str
    metrics: Mapping[str, float | int | str] = field(default_factory=dict)
    waits: bool = False


Reporter = Callable[[Progress], None]
"""Receives the progress of a step; called from the thread that does the work."""

Stopped = Callable[[], bool]
"""Asked between pieces of work; True once the step is to save what it has and to leave."""


class Interrupted(TrainingError):  # noqa: N818 - it names a state, as the user reads it
    """The step was asked to stop and has saved what it had; the message tells how it goes on."""


def quiet(progress: Progress) -> None:
    """Report to nobody."""


def never() -> bool:
    """Answer that nobody asked to stop."""
    return False


@contextmanager
def stop_on_signals() -> Iterator[Stopped]:
    """Let SIGTERM and SIGINT ask a step to save and leave; yields whether one came."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {name: signal.signal(name, note) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(came)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
