"""Training a small model from nothing, as a step."""

from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Artifact, Call, Given, Need, Role, Step

_COPIES = 8
"""Weights, their gradients, the optimiser's state and activations, in sizes of the weights."""


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
        """Return what the shape takes."""
        return shape_need(options)


def shape_need(options: Any) -> Need:
    """Return what training a model of this shape from nothing takes."""
    weights = options.shape.parameter_count * 4
    note = f"{options.shape.parameter_count:,} parameters from nothing"
    return Need(memory=_COPIES * weights, disk=4 * weights, notes=(note,))


STEP = Pretrain()
