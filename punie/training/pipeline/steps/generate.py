"""Generating examples by really executing the tools, as a step."""

from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from punie.training.errors import TrainingError
from punie.training.pipeline.step import Call, DatasetStep, Given, Need

_EXAMPLE_BYTES = 680
"""Of an example, as measured: 580 with the preset `tiny`, 780 with `coder`."""
_PREFIX_BYTES = 25_000
"""Of the instructions and tools, which a dataset holds once."""


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
        """Return what the examples take on disk; refuse a preset or a family that there is not."""
        found = mix_need(options)
        if found.refused is not None:
            return found
        examples = options.train + options.valid + options.test
        return replace(found, disk=_PREFIX_BYTES + _EXAMPLE_BYTES * examples)

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
