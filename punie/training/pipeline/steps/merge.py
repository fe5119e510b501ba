"""Putting datasets together, as a step."""

from typing import ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, DatasetStep, Role


class Merge(DatasetStep):
    """Several datasets as one, each as often as it counts."""

    kind = "merge"
    roles: ClassVar = {"datasets": Role("dataset", many=True)}

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.data.merging import MergeOptions

        return MergeOptions

    def run(self, call: Call) -> None:
        """Merge them."""
        from punie.training.data.merging import merge_datasets

        merge_datasets(call.options, call.paths("datasets"), call.out, call.report, call.stopped)


STEP = Merge()
