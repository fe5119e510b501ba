"""Splitting a dataset into parts, as a step."""

from typing import ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, DatasetStep, Role


class Split(DatasetStep):
    """All examples in parts that have nothing in common."""

    kind = "split"
    roles: ClassVar = {"dataset": Role("dataset")}

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.data.splitting import SplitOptions

        return SplitOptions

    def run(self, call: Call) -> None:
        """Split it."""
        from punie.training.data.splitting import split_dataset

        split_dataset(call.options, call.path("dataset"), call.out, call.report, call.stopped)


STEP = Split()
