"""Trying out values: a recipe fans out into one graph in which shared steps are there once."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from punie.training.errors import TrainingError
from punie.training.pipeline.gating import with_gates
from punie.training.pipeline.graph import (
    FindModel,
    FromStep,
    Graph,
    Node,
    Source,
    in_order,
    recipe_graph,
)
from punie.training.pipeline.recipe import Recipe
from punie.training.pipeline.step import Figure

_MOST = 1_000
_TABLE = "search"


class Range(BaseModel):
    """Values between two ends, both included; on a logarithmic scale where factors count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"
    whole: bool = False

    def draw(self, random: Random) -> float | int:
        """Return a value at random."""
        if self.scale == "log":
            value = math.exp(random.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = random.uniform(self.low, self.high)
        return round(value) if self.whole else value


class SearchOptions(BaseModel):
    """What is tried out.

    Attributes:
        method: every combination, or `count` of them at random.
        count: how many are drawn.
        seed: which ones.
        by: the figure that decides, as STEP.FIGURE.
        goal: whether the highest or the lowest is best.
        values: for keys such as "tune.rank", "seed" or "model" a list, or a range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["grid", "random"] = "grid"
    count: int = Field(default=8, ge=1, le=_MOST)
    seed: int = 1
    by: str = Field(pattern=r"^[^.]+\..+$")
    goal: Literal["highest", "lowest"] = "highest"
    values: dict[str, list[Any] | Range] = Field(min_length=1)


@dataclass(frozen=True)
class Choice:
    """One combination of values, the recipe with it, and its steps' names in the common graph."""

    values: Mapping[str, Any]
    recipe: Recipe
    names: Mapping[str, str]


@dataclass(frozen=True)
class Search:
    """A search: the common graph of all choices, still without the gates at the end."""

    options: SearchOptions
    graph: Graph
    choices: tuple[Choice, ...]

    def best(self, figures: Mapping[int, Figure]) -> int | None:
        """Return the choice with the best figure, the first of equal ones; None without figures."""
        sign = 1 if self.options.goal == "highest" else -1
        ranked = sorted(figures, key=lambda number: (-sign * figures[number].value, number))
        return ranked[0] if ranked else None


def read_search(recipe: Recipe, find_model: FindModel) -> Search | None:
    """Return what a recipe wants to try out, every choice checked; None if it does not.

    Raises:
        TrainingError: names the file, line and key of what is wrong.
    """
    if recipe.search is None:
        return None
    options = recipe.validated(SearchOptions, recipe.search, _TABLE)
    assert isinstance(options, SearchOptions)
    step = options.by.partition(".")[0]
    if step not in recipe.steps:
        known = ", ".join(recipe.steps)
        raise recipe.complaint(f"by names the step {step!r}; there are {known}.", _TABLE, "by")
    plain = replace(recipe, search=None)
    variants: list[tuple[dict[str, Any], Recipe, Graph]] = []
    for values in combinations(recipe, options):
        try:
            changed = plain.with_values(values)
            graph = with_gates(changed, recipe_graph(changed, find_model), serving=False)
        except TrainingError as error:
            shown = ", ".join(f"{key} = {value}" for key, value in values.items())
            raise TrainingError(f"With {shown}: {error}") from None
        variants.append((values, changed, graph))
    return _united(options, variants)


def combinations(recipe: Recipe, options: SearchOptions) -> list[dict[str, Any]]:
    """Return what is tried out, in order; the same for the same options.

    Raises:
        TrainingError: a grid has a range in it or is too large, or a range has no values.
    """
    for key, given in options.values.items():
        if isinstance(given, Range):
            if options.method == "grid":
                said = f'{key} has a range, and a grid needs a list; or say method = "random".'
                raise recipe.complaint(said, "search.values", key)
            if given.low > given.high or (given.scale == "log" and given.low <= 0):
                said = f"{key}: the range from {given.low} to {given.high} has no values."
                raise recipe.complaint(said, "search.values", key)
        elif not given:
            raise recipe.complaint(f"{key} has no values.", "search.values", key)
    if options.method == "grid":
        lists = [given for given in options.values.values() if isinstance(given, list)]
        total = math.prod(map(len, lists))
        if total > _MOST:
            said = f"that makes {total:,} combinations, and {_MOST:,} are the most."
            raise recipe.complaint(said, _TABLE)
        return [
            dict(zip(options.values, values, strict=True)) for values in itertools.product(*lists)
        ]
    random = Random(options.seed)
    return [
        {
            key: given.draw(random) if isinstance(given, Range) else random.choice(given)
            for key, given in options.values.items()
        }
        for _ in range(options.count)
    ]


def _united(options: SearchOptions, variants: list[tuple[dict[str, Any], Recipe, Graph]]) -> Search:
    """Put the graphs of all choices into one, equal steps once."""
    structures = [graph.structure() for _, _, graph in variants]
    names: dict[str, str] = {}
    used: dict[str, str] = {}
    for number, structure in enumerate(structures, 1):
        for name, key in structure.items():
            if key in names:
                continue
            shared = all(other.get(name) == key for other in structures)
            names[key] = name if shared else f"{name}#{number}"
            used[names[key]] = key
    nodes: dict[str, Node] = {}
    choices = []
    for (values, recipe, graph), structure in zip(variants, structures, strict=True):
        mapped = {name: names[key] for name, key in structure.items()}
        choices.append(Choice(values, recipe, mapped))
        for name, node in graph.nodes.items():
            known = nodes.get(mapped[name])
            after = tuple(mapped[one] for one in node.after)
            if known is None:
                nodes[mapped[name]] = renamed(node, mapped)
            elif set(after) - set(known.after):
                together = tuple(dict.fromkeys((*known.after, *after)))
                nodes[mapped[name]] = replace(known, after=together)
    return Search(options, in_order(nodes.values()), tuple(choices))


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """Return a step under the names of another graph; those that are not there stay."""

    def of(source: Source) -> Source:
        if isinstance(source, FromStep):
            return FromStep(names.get(source.name, source.name))
        return source

    return replace(
        node,
        name=names.get(node.name, node.name),
        inputs={role: tuple(map(of, sources)) for role, sources in node.inputs.items()},
        after=tuple(names.get(one, one) for one in node.after),
    )


def closing(search: Search, choice: Choice, find_model: FindModel) -> Graph:
    """Return the whole graph of one choice under the common names, the gates at the end included.

    Raises:
        TrainingError: a gate lacks an input.
    """
    graph = with_gates(choice.recipe, recipe_graph(choice.recipe, find_model))
    names = dict(choice.names)
    for name in graph.nodes:
        gate, _, of = name.partition(":")
        if name not in names and of in choice.names:
            names[name] = f"{gate}:{choice.names[of]}"
    return in_order(renamed(node, names) for node in graph.nodes.values())
