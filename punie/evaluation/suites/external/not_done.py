"""Items of a checkout that cannot be done: the run says why and goes on."""

from dataclasses import dataclass
from pathlib import Path

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Item, Verdict
from punie.evaluation.work import Work


@dataclass(frozen=True)
class Unjudged:
    """Says why there is nothing to judge."""

    reason: str

    async def judge(self, work: Work, root: Path) -> Verdict:
        """Raise `EvaluationError` with the reason."""
        raise EvaluationError(self.reason)


def item_not_done(name: str, kind: str, reason: str) -> Item:
    """Return an item at which the model is not asked: it is not solved, with the reason as trouble.

    So a checkout with a broken item can be run to its end. What is missing for all items of a suite
    is refused instead.
    """
    return Item(name=name, kind=kind, actions=(), prepare=_nothing, judge=Unjudged(reason).judge)


def _nothing(root: Path) -> None:
    """Leave the project empty."""
