"""The kinds of steps that a recipe can name."""

import difflib
import importlib
from typing import cast

from punie.training.errors import TrainingError
from punie.training.pipeline.step import Step

_MODULES = {
    "distill": "distill",
    "draft": "draft",
    "evaluate": "evaluate",
    "filter": "filter",
    "from-sessions": "from_sessions",
    "from-teacher": "from_teacher",
    "fuse": "fuse",
    "gate-conversion": "gate_conversion",
    "gate-data": "gate_data",
    "gate-serving": "gate_serving",
    "gate-training": "gate_training",
    "gate-zero": "gate_zero",
    "generate": "generate",
    "merge": "merge",
    "own-answers": "own_answers",
    "pretrain": "pretrain",
    "quantize": "quantize",
    "rewrite-template": "rewrite_template",
    "split": "split",
    "tune": "tune",
}
"""Module in `punie.training.pipeline.steps` by kind."""


def kinds() -> list[str]:
    """Return the names of all kinds."""
    return sorted(_MODULES)


def step_of(kind: str) -> Step:
    """Return what is known of a kind.

    Raises:
        TrainingError: there is no such kind.
    """
    if kind not in _MODULES:
        close = difflib.get_close_matches(kind, _MODULES, n=1)
        cure = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(kinds())}."
        raise TrainingError(f"there is no kind of step {kind!r}; {cure}")
    module = importlib.import_module(f"punie.training.pipeline.steps.{_MODULES[kind]}")
    return cast(Step, module.STEP)
