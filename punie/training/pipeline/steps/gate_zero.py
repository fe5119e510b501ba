"""Gate zero as a step."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from punie.training.pipeline.step import Call, GateStep, Role, write_report


class NoLimits(BaseModel):
    """Gate zero has none: what it asks is so or is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GateZero(GateStep):
    """Whether config, tokenizer and template fit each other and know tools."""

    kind = "gate-zero"
    roles: ClassVar = {"model": Role("model", of_recipe=True, weights=False)}
    judges = "model"

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        return NoLimits

    def run(self, call: Call) -> None:
        """Look at the model's files."""
        from punie.training.gates.zero import gate_zero

        write_report(call.out, gate_zero(call.path("model")))


STEP = GateZero()
