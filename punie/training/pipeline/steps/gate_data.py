"""The data gate, as a step."""

from typing import ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, GateStep, Role, write_report


class GateData(GateStep):
    """Whether a dataset can be learned from; `model` tells what window it has to fit."""

    kind = "gate-data"
    roles: ClassVar = {
        "dataset": Role("dataset"),
        "model": Role("model", required=False, weights=False),
    }

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.gates.data import DataLimits

        return DataLimits

    def run(self, call: Call) -> None:
        """Look at the dataset."""
        from punie.models.architecture import context_window
        from punie.models.catalog import read_json_object
        from punie.models.mlx.chat_format import ChatFormat
        from punie.training.gates.data import data_gate

        model = call.maybe("model")
        chat_format = None if model is None else ChatFormat.load(model)
        window = None if model is None else context_window(read_json_object(model / "config.json"))
        found = data_gate(
            call.path("dataset"), call.options, chat_format, window, call.report, call.stopped
        )
        write_report(call.out, found)


STEP = GateData()
