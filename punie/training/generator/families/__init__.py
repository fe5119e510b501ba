"""The families of tasks, by name: what a recipe weighs."""

from collections.abc import Mapping

from punie.training.generator.families import (
    answering,
    changing,
    checking,
    coding,
    finding,
    looking,
    recovery,
    repairing,
    reshaping,
    running,
    talking,
)
from punie.training.generator.tasks import Family, Task, TaskMaker

TOOL_FAMILIES: Mapping[str, Family] = {
    **looking.FAMILIES,
    **finding.FAMILIES,
    **changing.FAMILIES,
    **reshaping.FAMILIES,
    **running.FAMILIES,
    **checking.FAMILIES,
    **recovery.FAMILIES,
    **repairing.FAMILIES,
}
"""Families whose tasks need tools, called one by one."""

CODE_FAMILIES: Mapping[str, Family] = coding.FAMILIES
"""Families whose tasks need tools, called by code."""

DIRECT_FAMILIES: Mapping[str, Family] = {**talking.FAMILIES, **answering.FAMILIES}
"""Families whose tasks are answered without a tool."""

FAMILIES: Mapping[str, Family] = {**TOOL_FAMILIES, **CODE_FAMILIES, **DIRECT_FAMILIES}


def make_task(maker: TaskMaker, weights: Mapping[str, float]) -> Task:
    """Make one task of a family picked by weight, of those for which the project has something."""
    names = list(weights)
    while True:
        family = maker.rng.choices(names, [weights[name] for name in names])[0]
        task = FAMILIES[family](maker)
        if task is not None:
            return task
