"""Leaving examples out of a dataset, as a step."""

from typing import ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, DatasetStep, Role


class Filter(DatasetStep):
    """The examples that pass; `model` tells what tokens are, where they count."""

    kind = "filter"
    roles: ClassVar = {
        "dataset": Role("dataset"),
        "model": Role("model", required=False, weights=False),
    }

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.data.filtering import FilterOptions

        return FilterOptions

    def run(self, call: Call) -> None:
        """Filter it."""
        from punie.training.data.filtering import filter_dataset

        filter_dataset(
            call.options,
            call.path("dataset"),
            call.out,
            call.maybe("model"),
            call.report,
            call.stopped,
        )


STEP = Filter()
