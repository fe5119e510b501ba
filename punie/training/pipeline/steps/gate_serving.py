"""The serving gate, as a step."""

from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, GateStep, Role, write_report


class GateServing(GateStep):
    """Whether a model does the product's work; `base` is what it may not be worse than."""

    kind = "gate-serving"
    roles: ClassVar = {"model": Role("model"), "base": Role("model", required=False)}
    neutral = frozenset({"parallel"})
    judges = "model"
    computes = True
    threads = 1
    unit = "tasks"

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.gates.serving import ServingLimits

        return ServingLimits

    def run(self, call: Call) -> None:
        """Let it work."""
        from punie.training.gates.serving import serving_gate

        found = serving_gate(
            call.path("model"), call.options, call.maybe("base"), call.report, call.stopped
        )
        write_report(call.out, found)

    def work(self, options: Any) -> float | None:
        """Return the tasks and questions."""
        return float(2 * options.tasks + options.direct)


STEP = GateServing()
