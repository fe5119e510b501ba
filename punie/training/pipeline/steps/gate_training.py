"""The training gate, as a step."""

from typing import ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, GateStep, Role, write_report


class GateTraining(GateStep):
    """Whether a model learned something and forgot nothing; `run` is what came out."""

    kind = "gate-training"
    roles: ClassVar = {"model": Role("model"), "run": Role("adapter"), "dataset": Role("dataset")}
    judges = "run"
    computes = True
    alone = True

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.gates.training import TrainingLimits

        return TrainingLimits

    def run(self, call: Call) -> None:
        """Look at it."""
        from punie.training.gates.training import training_gate

        found = training_gate(
            call.path("model"),
            call.path("run"),
            call.path("dataset"),
            call.options,
            call.report,
            call.stopped,
        )
        write_report(call.out, found)


STEP = GateTraining()
