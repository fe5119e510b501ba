"""The families of tasks, by name: what a recipe weighs."""

from collections.abc import Mapping

from punie.training.generator.families import changing, looking, running, talking
from punie.training.generator.tasks import Family, Task, TaskMaker

TOOL_FAMILIES: Mapping[str, Family] = {
    **looking.FAMILIES,
    **changing.FAMILIES,
    **running.FAMILIES,
}
"""Families whose tasks need a tool."""

DIRECT_FAMILIES: Mapping[str, Family] = talking.FAMILIES
"""Families whose tasks are answered without a tool."""

FAMILIES: Mapping[str, Family] = {**TOOL_FAMILIES, **DIRECT_FAMILIES}


def make_task(maker: TaskMaker, weights: Mapping[str, float]) -> Task:
    """Make one task of a family picked by weight, of those for which the project has something."""
    names = list(weights)
    while True:
        family = maker.rng.choices(names, [weights[name] for name in names])[0]
        task = FAMILIES[family](maker)
        if task is not None:
            return task
