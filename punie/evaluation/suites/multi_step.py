"""Work of two to four steps, where each needs what the one before returned."""

from collections.abc import Sequence

from punie.evaluation.suite import Item
from punie.evaluation.suites.listed import ListedSuite
from punie.evaluation.suites.steps import StepsItem, steps_item
from punie.evaluation.suites.written import written_items


def multi_step_items() -> list[StepsItem]:
    """Return what is written down."""
    return written_items("multi_step", StepsItem)


def _items() -> Sequence[Item]:
    return tuple(map(steps_item, multi_step_items()))


MULTI_STEP = ListedSuite(
    name="multi-step",
    version=2,
    about="Whether work of several steps is done, where each step needs the one before.",
    items=_items,
)
