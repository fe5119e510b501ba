"""Making an adapter part of its model's weights, as a step."""

from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Artifact, Call, Given, Need, Role, Step
from punie.training.pipeline.steps.needs import conversion_need


class Fuse(Step):
    """A model and its adapter become one model."""

    kind = "fuse"
    roles: ClassVar = {"model": Role("model", of_recipe=True), "adapter": Role("adapter")}
    computes = True
    alone = True

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.fusing import FuseOptions

        return FuseOptions

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        return "model"

    def run(self, call: Call) -> None:
        """Fuse them."""
        from punie.training.fusing import fuse

        fuse(
            call.options,
            call.path("model"),
            call.path("adapter"),
            call.out,
            call.report,
            call.stopped,
        )

    def need(self, options: Any, given: Given) -> Need:
        """Return what fusing takes."""
        return conversion_need(options, given.configs.get("model"))

    def config(self, options: Any, given: Given) -> dict[str, Any] | None:
        """Return the config.json of the model that comes out."""
        from punie.training.fusing import dequantized, fused_config

        base = given.configs.get("model")
        if base is None or not dequantized(options, base):
            return base
        return fused_config(options, base)


STEP = Fuse()
