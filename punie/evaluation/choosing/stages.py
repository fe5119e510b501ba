"""What a model goes through before it is recommended: a short look first, and then all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from punie.evaluation.run_options import RunOptions
from punie.evaluation.suite import Suite
from punie.evaluation.suites.catalog import SUITES

SHORT_SUITES = (
    "discrimination",
    "single-tool",
    "multi-step",
    "recovery",
    "edits",
    "generated-coder",
)
"""The suites that tell most about a model in little time.

Whether it calls tools where they are due and none where not, calls the right one, goes on from what
it saw and from what failed, and changes code that is tested.
"""
SHORT_ITEMS = 10
FULL_ITEMS = 100
"""Of each suite at most, so that what the generator makes does not outvote what is written."""


@dataclass(frozen=True)
class Stage:
    """A run that every model goes through: which suites, and how; `name` is a word for it."""

    name: str
    suites: tuple[Suite, ...]
    options: RunOptions


def stages(
    chosen: Sequence[str], short_items: int, full_items: int, options: RunOptions
) -> tuple[Stage, Stage]:
    """Return the short stage and the full one, over the suites of these names or over all.

    The short one leaves suites out where any of its own are among them.
    """
    known: Mapping[str, Suite] = SUITES
    full = [known[name] for name in dict.fromkeys(chosen)] or list(known.values())
    short = [suite for suite in full if suite.name in SHORT_SUITES] or full
    return (
        Stage("short", tuple(short), options.model_copy(update={"limit": short_items})),
        Stage("full", tuple(full), options.model_copy(update={"limit": full_items})),
    )
