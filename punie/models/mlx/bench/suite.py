"""The measurements of the engine, and what they are made on. Light to import.

Two sides of a comparison are measured in turn within one run, and medians are compared, so that
ratios hold on a machine that does other things too.
"""

import importlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from punie.models.mlx.bench.rows import BenchError, Finding, Skipped

if TYPE_CHECKING:
    from pydantic_ai.models import ModelRequestParameters

    from punie.models.mlx.model import MlxModel

RunTool = Callable[[str, Mapping[str, Any]], Awaitable[str]]
"""Runs a tool by name, with its arguments, and returns what the model reads of it."""

NewProject = Callable[[Mapping[str, str]], AbstractAsyncContextManager[RunTool]]
"""Makes a project of files, by path, for as long as its tools are used."""


@dataclass(frozen=True)
class Subject:
    """A model to measure, opened, and what an agent gives it.

    `parameters` are the agent's tools and instructions. `say` is told how far a measurement is.
    `bundled` tells that it is the bundled model, for which some limits are meant, and `fast_blas`
    that a pass for several tokens costs little more than for one. With `fits_twice` there is
    memory for a second process with the same weights.
    """

    model: "MlxModel"
    path: Path
    parameters: "ModelRequestParameters"
    project: NewProject
    say: Callable[[str], None]
    bundled: bool
    fast_blas: bool
    fits_twice: bool


@dataclass(frozen=True)
class Measurement:
    """A measurement: `module` has `measure(subject)`, which returns what it found."""

    name: str
    module: str
    summary: str

    async def run(self, subject: Subject) -> list[Finding]:
        """Measure; what cannot be measured is found to be so."""
        module = await anyio.to_thread.run_sync(
            importlib.import_module, self.module, abandon_on_cancel=True
        )
        try:
            found: list[Finding] = await module.measure(subject)
        except BenchError as error:
            return [Skipped(self.name, str(error))]
        return found


def _measurement(name: str, summary: str) -> Measurement:
    return Measurement(name, f"punie.models.mlx.bench.{name}", summary)


MEASUREMENTS: tuple[Measurement, ...] = (
    _measurement("decode", "Speed of writing, and the first token, against mlx-lm itself."),
    _measurement("reuse", "What a conversation reads again, also against mlx_lm.server."),
    _measurement("grammar", "What holding tool calls to their schemas costs for each token."),
    _measurement("speculation", "Passes of the model for each token of edits; cost elsewhere."),
    _measurement("cancel", "How soon the engine is free after a cancel."),
    _measurement("batch", "Eight sessions at once against one."),
    _measurement("memory", "Whether memory stays flat over many turns."),
)
