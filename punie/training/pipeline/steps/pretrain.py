"""Training a small model from nothing, as a step."""

from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Artifact, Call, Given, Need, Role, Step


class Pretrain(Step):
    """A tokenizer and weights from a dataset; `tokenizer` names a model whose tokens are taken.

    A `teacher` is a model whose logits are learned too.
    """

    kind = "pretrain"
    roles: ClassVar = {
        "dataset": Role("dataset"),
        "tokenizer": Role("model", required=False),
        "teacher": Role("model", required=False),
    }
    computes = True
    alone = True
    # Its two workers share the cores; more threads for a product would change its last bits.
    threads = 1
    unit = "steps"

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.pretraining.run import PretrainOptions

        return PretrainOptions

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        return "model"

    def run(self, call: Call) -> None:
        """Train it."""
        from punie.training.pretraining.run import pretrain

        pretrain(
            call.options,
            call.path("dataset"),
            call.out,
            call.report,
            call.stopped,
            tokenizer=call.maybe("tokenizer"),
            teacher=call.maybe("teacher"),
        )

    def work(self, options: Any) -> float | None:
        """Return the optimiser steps."""
        return float(options.steps)

    def need(self, options: Any, given: Given) -> Need:
        """Return what the shape and its batches take."""
        return pretraining_need(options, given)


def pretraining_need(options: Any, given: Given) -> Need:
    """Return what it takes to train a model from nothing with these `PretrainOptions`."""
    from punie.training.pretraining.memory import pretraining_memory

    parameters = options.shape.parameter_count
    return Need(
        memory=pretraining_memory(options, given.longest or options.window),
        disk=16 * parameters,
        notes=(f"{parameters:,} parameters from nothing",),
    )


STEP = Pretrain()
