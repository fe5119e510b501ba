"""The measurements of the engine, and what they are made on. Light to import.

Two sides of a comparison are measured in turn within one run, and medians are compared, so that
ratios hold on a machine that does other things too.
"""

import importlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
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
    memory for a second process with the same weights; such processes get `environment` besides
    that of this one.
    """

    model: "MlxModel"
    path: Path
    parameters: "ModelRequestParameters"
    project: NewProject
    say: Callable[[str], None]
    bundled: bool
    fast_blas: bool
    fits_twice: bool
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """A measurement: `module` has `measure`, which returns what it found.

    It is given a subject or, where Punie is compared with another server, what `given_pair` says:
    both sides, or else a subject and the target, whose processes it starts by itself.
    """

    name: str
    module: str
    summary: str
    given_pair: bool = False

    async def run(self, *given: object) -> list[Finding]:
        """Measure; what cannot be measured is found to be so."""
        module = await anyio.to_thread.run_sync(
            importlib.import_module, self.module, abandon_on_cancel=True
        )
        try:
            found: list[Finding] = await module.measure(*given)
        except BenchError as error:
            return [Skipped(self.name, str(error))]
        return found


def _measurement(name: str, summary: str) -> Measurement:
    return Measurement(name, f"punie.models.mlx.bench.{name}", summary)


def _comparison(name: str, summary: str, *, given_pair: bool = True) -> Measurement:
    return Measurement(name, f"punie.models.mlx.bench.against.{name}", summary, given_pair)


MEASUREMENTS: tuple[Measurement, ...] = (
    _measurement("start", "From the start of a process to its first token."),
    _measurement("prefill", "Speed of reading new prompts, and the wait for the first token."),
    _measurement("decode", "Speed of writing, and the first token, against mlx-lm itself."),
    _measurement("reuse", "What a conversation reads again, also against mlx_lm.server."),
    _measurement("grammar", "What holding tool calls to their schemas costs for each token."),
    _measurement("speculation", "Passes of the model for each token of edits; cost elsewhere."),
    _measurement("cancel", "How soon the engine is free after a cancel."),
    _measurement("batch", "Eight sessions at once against one."),
    _measurement("memory", "Whether memory stays flat over many turns."),
)

ALIKE = _comparison("alike", "Whether both run the same model.")
"""Comes before the comparisons that need both sides, whichever of them are wanted."""

COMPARISONS: tuple[Measurement, ...] = (
    _comparison("start", "From the start of a process to its first token.", given_pair=False),
    _comparison("prefill", "First token and speed of reading, of prompts that nobody has read."),
    _comparison("decode", "Speed of writing, from the first token to the last."),
    _comparison("reuse", "First token, tokens read and time in growing conversations with tools."),
    _comparison("cancel", "How soon the next request is answered after a cancel."),
    _comparison("memory", "What both processes hold after the same requests."),
)
