"""Letting a small model learn from a larger one, as a step."""

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, Given, Need, Role
from punie.training.pipeline.steps.tune import Tune


class Distill(Tune):
    """A student learns a teacher's logits and answers; else as `tune`."""

    kind = "distill"
    roles: ClassVar = {
        "teacher": Role("model"),
        "student": Role("model", of_recipe=True),
        "dataset": Role("dataset"),
    }

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.distilling.run import DistillOptions

        return DistillOptions

    def run(self, call: Call) -> None:
        """Distil it."""
        from punie.training.distilling.run import distill

        distill(
            call.options,
            call.path("teacher"),
            call.path("student"),
            call.path("dataset"),
            call.out,
            call.report,
            call.stopped,
        )

    def need(self, options: Any, given: Given) -> Need:
        """Return what training takes, with the teacher beside it."""
        from punie.models.catalog import weight_bytes

        found = super().need(options, _as_model(given))
        teacher = given.paths.get("teacher")
        if found.memory is None or teacher is None:
            return found
        return replace(found, memory=found.memory + weight_bytes(teacher))

    def config(self, options: Any, given: Given) -> dict[str, Any] | None:
        """Return the config.json of a model that is trained whole."""
        return super().config(options, _as_model(given))


def _as_model(given: Given) -> Given:
    """Return what is known of the student as of the model that is tuned."""
    configs = {**given.configs}
    if "student" in configs:
        configs["model"] = configs["student"]
    return replace(given, configs=configs)


STEP = Distill()
