"""Teaching a model with an adapter, or all of it, as a step."""

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.errors import TrainingError
from punie.training.pipeline.step import Artifact, Call, Figure, Given, Need, Role, Step

_TOLD = {"train_loss": "", "valid_loss": "", "valid_exact": "share", "valid_decisions": "share"}
"""Figures of a curve, with their units."""


class Tune(Step):
    """An adapter for a model, or a model with `method = "full"`, as recipes call the kind."""

    kind = "tune"
    roles: ClassVar = {"model": Role("model", of_recipe=True), "dataset": Role("dataset")}
    computes = True
    alone = True
    exact = True
    unit = "steps"
    renamed: ClassVar = {"method": "kind"}

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.tuning.options import TuneOptions

        return TuneOptions

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        return "model" if options.kind == "full" else "adapter"

    def run(self, call: Call) -> None:
        """Tune it."""
        from punie.training.tuning.run import tune

        tune(
            call.options,
            call.path("model"),
            call.path("dataset"),
            call.out,
            call.report,
            call.stopped,
        )

    def figures(self, out: Path) -> dict[str, Figure]:
        """Return the last row of the curve, as far as it tells how good it is."""
        found: dict[str, Figure] = {}
        for line in (out / "curve.jsonl").read_text(encoding="utf-8").splitlines():
            for name, value in json.loads(line).items():
                if name in _TOLD and isinstance(value, int | float):
                    found[name] = Figure(value=value, unit=_TOLD[name])
        return found

    def work(self, options: Any) -> float | None:
        """Return the optimiser steps."""
        return float(options.steps)

    def need(self, options: Any, given: Given) -> Need:
        """Return what training takes."""
        config = given.configs.get("model")
        if config is None:
            return Need()
        from punie.training.tuning.memory import estimate_tuning

        longest = min(given.longest or options.longest, options.longest)
        try:
            found = estimate_tuning(options, config, longest)
        except TrainingError as error:
            return Need(refused=str(error))
        return Need(memory=found.total, notes=(f"{found.trainable:,} numbers are trained",))

    def config(self, options: Any, given: Given) -> dict[str, Any] | None:
        """Return the config.json of a model that is tuned whole."""
        return given.configs.get("model") if options.kind == "full" else None


STEP = Tune()
