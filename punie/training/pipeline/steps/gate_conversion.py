"""The conversion gate, as a step."""

from typing import ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, GateStep, Role, write_report


class GateConversion(GateStep):
    """Whether a fused or quantised model answers as the one before."""

    kind = "gate-conversion"
    roles: ClassVar = {
        "before": Role("model"),
        "after": Role("model"),
        "dataset": Role("dataset"),
        "adapter": Role("adapter", required=False),
    }
    judges = "after"
    computes = True
    alone = True

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.gates.conversion import ConversionLimits

        return ConversionLimits

    def run(self, call: Call) -> None:
        """Compare them."""
        from punie.training.gates.conversion import conversion_gate

        found = conversion_gate(
            call.path("before"),
            call.path("after"),
            call.path("dataset"),
            call.options,
            call.report,
            call.stopped,
            adapter=call.maybe("adapter"),
        )
        write_report(call.out, found)


STEP = GateConversion()
