"""Giving a model fewer bits, as a step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Artifact, Call, Need, Role, Step
from punie.training.pipeline.steps.needs import conversion_need


class Quantize(Step):
    """A model's weights are packed; `dataset` has the examples by which it is compared."""

    kind = "quantize"
    roles: ClassVar = {
        "model": Role("model", of_recipe=True),
        "dataset": Role("dataset", required=False),
    }
    computes = True

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.quantizing.options import QuantizeOptions

        return QuantizeOptions

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        return "model"

    def run(self, call: Call) -> None:
        """Quantise it."""
        from punie.training.quantizing.run import quantize

        quantize(
            call.options,
            call.path("model"),
            call.maybe("dataset"),
            call.out,
            call.report,
            call.stopped,
        )

    def need(self, options: Any, inputs: Mapping[str, tuple[Path | None, ...]]) -> Need:
        """Return what packing takes."""
        return conversion_need(options, inputs["model"][0])


STEP = Quantize()
