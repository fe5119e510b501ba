"""The recipe of learning: the user's examples and rehearsal, tuned, fused, packed as before."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tomlkit

from punie.models.architecture import context_window, quantization_of
from punie.models.catalog import BUNDLED_ID, read_json_object
from punie.training.data.example import Example
from punie.training.learning.options import LearnOptions

DIRECT = 0.3
"""Share of all examples that are to be answered without a tool; rehearsal makes up for the rest."""

_LEAST_REHEARSAL = 40
_LEAST_VALID = 20
_LEAST_DIRECT = 12
"""Direct answers to validate with, so that the training gate sees whether they are forgotten."""
_BATCH = 4
_STEPS = (30, 3_000)
_LONGEST = 8_192


def recipe_text(
    name: str,
    base: str,
    folder: Path,
    examples: Path,
    own: Iterable[Example],
    options: LearnOptions,
) -> str:
    """Return the recipe as TOML.

    Args:
        name: of the run and of its result.
        base: reference of the base model.
        folder: where its config.json lies.
        examples: the dataset of the user's own examples.
        own: these examples.
        options: how it learns.
    """
    config = read_json_object(folder / "config.json")
    model = base if base == BUNDLED_ID else str(folder)
    count, direct = 0, 0
    for example in own:
        count += 1
        direct += not any(m.tool_calls for m in example.messages[example.context :])
    rehearsed = rehearsal_count(count, options.rehearsal)
    share = rehearsal_direct(count, direct, rehearsed)
    document: dict[str, Any] = {
        "name": name,
        "model": model,
        "seed": options.seed,
        "steps": {
            "rehearsal": {
                "kind": "generate",
                "preset": "tiny" if base == BUNDLED_ID else "coder",
                "train": rehearsed,
                "valid": max(_LEAST_VALID, rehearsed // 10, math.ceil(_LEAST_DIRECT / share)),
                "test": 0,
                "direct": share,
            },
            # What came of a model with a larger window may be too long for this one.
            "own": {
                "kind": "filter",
                "dataset": str(examples),
                "model": model,
                "longest": _longest(config),
            },
            "data": {"kind": "merge", "datasets": ["@own", "@rehearsal"]},
            "tune": {"kind": "tune", "dataset": "@data", **_tuning(config, count, options)},
            "fused": {"kind": "fuse", "adapter": "@tune"},
            **_packing(config),
        },
        # What people do all day is less even than what is generated.
        "gates": {
            "data": {"least_direct": 0.1, "most_direct": 0.6, "most_of_one_tool": 0.8},
            # What is measured there is rehearsal, which the model may know by heart.
            "training": {"least_gain": -0.02},
        },
    }
    return tomlkit.dumps(document)


def rehearsal_count(own: int, share: float) -> int:
    """Return how many examples are generated so that they are this share of all."""
    return max(_LEAST_REHEARSAL, math.ceil(own * share / (1 - share)))


def rehearsal_direct(own: int, direct: int, rehearsed: int) -> float:
    """Return the share of direct answers among generated examples that evens out the user's own."""
    wanted = DIRECT * (own + rehearsed) - direct
    return round(min(0.9, max(0.05, wanted / rehearsed)), 2)


def _tuning(config: dict[str, Any], own: int, options: LearnOptions) -> dict[str, Any]:
    total = own + rehearsal_count(own, options.rehearsal)
    least, most = _STEPS
    steps = min(most, max(least, math.ceil(options.passes * total / _BATCH)))
    longest = _longest(config)
    # A long sequence fills the memory by itself; four of them make a step all the same.
    batch, accumulate = (_BATCH, 1) if longest <= _LONGEST // 4 else (1, _BATCH)
    return {
        "steps": steps,
        "batch": batch,
        "accumulate": accumulate,
        "longest": longest,
        "too_long": 0.5,
        "recompute": batch == 1,
    }


def _longest(config: dict[str, Any]) -> int:
    return min(context_window(config), _LONGEST)


def _packing(config: dict[str, Any]) -> dict[str, Any]:
    """Return the step that packs the weights as those of the base are, if they are."""
    packed = quantization_of(config)
    if packed is None:
        return {}
    table = {
        "kind": "quantize",
        "model": "@fused",
        "dataset": "@data",
        "mode": packed.mode,
        "bits": packed.bits,
        "group_size": packed.group_size,
    }
    return {"packed": table}
