"""Giving a model fewer bits, as a step."""

from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Artifact, Call, Given, Need, Role, Step
from punie.training.pipeline.steps.needs import conversion_need


class Quantize(Step):
    """A model's weights are packed; `dataset` has the examples by which it is compared."""

    kind = "quantize"
    roles: ClassVar = {
        "model": Role("model", of_recipe=True),
        "dataset": Role("dataset", required=False),
    }
    computes = True
    alone = True

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

    def need(self, options: Any, given: Given) -> Need:
        """Return what packing takes."""
        return conversion_need(options, given.configs.get("model"))

    def config(self, options: Any, given: Given) -> dict[str, Any] | None:
        """Return the config.json of the model that comes out."""
        base = given.configs.get("model")
        if base is None:
            return None
        packing = options.packing
        return {
            **base,
            "quantization": {
                "bits": packing.bits,
                "group_size": packing.group_size,
                "mode": packing.mode,
            },
        }


STEP = Quantize()
