"""Conversations as a model itself would hold them, as a step."""

from typing import ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, DatasetStep, Role


class OwnAnswers(DatasetStep):
    """What `model` writes on the prompts of a dataset, up to the first turn that differs."""

    kind = "own-answers"
    roles: ClassVar = {"model": Role("model", of_recipe=True), "dataset": Role("dataset")}
    computes = True
    threads = 1

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.distilling.own_answers import OwnAnswersOptions

        return OwnAnswersOptions

    def run(self, call: Call) -> None:
        """Let the model write."""
        from punie.training.distilling.own_answers import own_answers

        model, dataset = call.path("model"), call.path("dataset")
        own_answers(call.options, model, dataset, call.out, call.report, call.stopped)


STEP = OwnAnswers()
