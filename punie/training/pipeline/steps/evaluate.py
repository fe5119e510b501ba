"""A model solving held-out tasks in the real agent, as a step."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Artifact, Call, Figure, Role, Step, share


class Evaluate(Step):
    """Right tools, right arguments and solved tasks; `draft` names a draft model to go with it.

    Its tasks do not depend on the recipe's seed, so that models are compared on the same ones.
    """

    kind = "evaluate"
    version = 3  # what no call showed earns nothing
    roles: ClassVar = {
        "model": Role("model", of_recipe=True),
        "draft": Role("model", required=False),
    }
    neutral = frozenset({"parallel"})
    computes = True
    threads = 1
    unit = "tasks"
    seeded = False

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.evaluation.tasks import TaskOptions

        return TaskOptions

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        return "report"

    def run(self, call: Call) -> None:
        """Let it work."""
        from punie.evaluation.tasks import evaluate_tasks

        options, draft = call.options, call.maybe("draft")
        if draft is not None:
            options = options.model_copy(update={"draft_model": str(draft)})
        evaluate_tasks(call.path("model"), options, call.out, call.report, call.stopped)

    def figures(self, out: Path) -> dict[str, Figure]:
        """Return the rates, without those of single kinds of tasks."""
        from punie.evaluation.outcomes import rates
        from punie.evaluation.tasks import read_tasks

        found = rates(read_tasks(out))
        return {name: share(one) for name, one in found.items() if ":" not in name}

    def work(self, options: Any) -> float | None:
        """Return the tasks."""
        return float(options.count * options.attempts)


STEP = Evaluate()
