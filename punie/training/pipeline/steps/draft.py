"""Making a draft model for a target, as a step."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Artifact, Call, Figure, Given, Need, Role, Step
from punie.training.pipeline.steps.pretrain import pretraining_need


class Draft(Step):
    """A small model that guesses ahead for `target`, and what share of its guesses is right."""

    kind = "draft"
    roles: ClassVar = {"target": Role("model", of_recipe=True), "dataset": Role("dataset")}
    computes = True
    alone = True
    threads = 1
    unit = "steps"

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.distilling.draft import DraftOptions

        return DraftOptions

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        return "model"

    def run(self, call: Call) -> None:
        """Make and measure it."""
        from punie.training.distilling.draft import make_draft

        target, dataset = call.path("target"), call.path("dataset")
        make_draft(call.options, target, dataset, call.out, call.report, call.stopped)

    def figures(self, out: Path) -> dict[str, Figure]:
        """Return what the target accepts."""
        from punie.training.distilling.draft import ACCEPTANCE_FILE
        from punie.training.drafting import Acceptance

        text = (out / ACCEPTANCE_FILE).read_text(encoding="utf-8")
        overall = Acceptance.model_validate_json(text).overall
        accepted = overall.tokens
        return {
            "accepted": Figure(
                value=accepted.value, low=accepted.low, high=accepted.high, unit="share"
            ),
            "accepted_length": Figure(
                value=overall.mean, low=overall.low, high=overall.high, unit="tokens a draft"
            ),
        }

    def work(self, options: Any) -> float | None:
        """Return the optimiser steps."""
        return float(options.model.steps)

    def need(self, options: Any, given: Given) -> Need:
        """Return what the shape and its batches take."""
        return pretraining_need(options.model, given)


STEP = Draft()
