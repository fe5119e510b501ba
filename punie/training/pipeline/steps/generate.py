"""Generating examples by really executing the tools, as a step."""

from typing import Any

from pydantic import BaseModel

from punie.training.errors import TrainingError
from punie.training.pipeline.step import Call, DatasetStep, Given, Need


class Generate(DatasetStep):
    """Examples of a preset's families, with parts that have nothing in common."""

    kind = "generate"
    unit = "examples"

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.generator.generate import GenerateOptions

        return GenerateOptions

    def run(self, call: Call) -> None:
        """Generate them."""
        from punie.training.generator.generate import generate

        generate(call.options, call.out, call.report, call.stopped)

    def need(self, options: Any, given: Given) -> Need:
        """Refuse a preset or a family that there is not."""
        return mix_need(options)

    def work(self, options: Any) -> float | None:
        """Return the examples."""
        return float(options.train + options.valid + options.test)


def mix_need(options: Any) -> Need:
    """Return a refusal if options name a preset or a family that there is not."""
    try:
        options.mix()
    except TrainingError as error:
        return Need(refused=str(error))
    return Need()


STEP = Generate()
