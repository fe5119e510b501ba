"""Puts the gates into a graph. A recipe can set their limits; it cannot leave them out.

Gate zero stands before everything that uses a model that comes from elsewhere or is new, the data
gate before training, the training gate behind it, the conversion gate behind fusing and quantising,
the serving gate behind each model that comes out at the end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from punie.training.errors import TrainingError
from punie.training.pipeline.graph import (
    FromFolder,
    FromStep,
    Graph,
    Node,
    Source,
    in_order,
    learner,
)
from punie.training.pipeline.kinds import kinds, step_of
from punie.training.pipeline.recipe import Recipe, no_such
from punie.training.pipeline.step import GateStep

_GATES = ("zero", "data", "training", "conversion", "serving")
_LEARNING = frozenset({"pretrain", "tune", "distill", "draft"})
_TUNING = frozenset({"tune", "distill"})
_TUNING = frozenset({"tune", "distill"})
_CONVERTING = frozenset({"fuse", "quantize"})
_NEW = frozenset({"pretrain"})


def with_gates(recipe: Recipe, graph: Graph, *, serving: bool = True) -> Graph:
    """Return the graph with all gates in it; those at the end only if `serving`.

    Raises:
        TrainingError: the recipe sets limits that no gate has, or a gate lacks an input.
    """
    gates = list(_zero(recipe, graph))
    gates += _data(recipe, graph)
    gates += _training(recipe, graph)
    gates += _conversion(recipe, graph)
    if serving:
        gates += _serving(recipe, graph)
    _check_limits(recipe, gates)
    # What can be said of a base model is said before anything long is done.
    early = [gate for gate in gates if not gate.needed]
    steps = _waiting(graph, gates)
    names = {gate.name for gate in early}
    return in_order(
        [
            *(gate for gate in gates if gate.name in names),
            *steps,
            *(gate for gate in gates if gate.name not in names),
        ]
    )


def results(graph: Graph) -> list[str]:
    """Return the steps whose models come out at the end: nothing but gates and scores uses them."""
    return [
        node.name
        for node in graph.nodes.values()
        if node.makes == "model"
        and node.step.kind != "draft"
        and all(graph.nodes[name].makes == "report" for name in graph.behind(node.name))
    ]


def _zero(recipe: Recipe, graph: Graph) -> Iterator[Node]:
    seen: set[Source] = set()
    for node in graph.nodes.values():
        for role, sources in node.inputs.items():
            for source in sources:
                if node.step.roles[role].artifact != "model" or source in seen:
                    continue
                new = isinstance(source, FromStep) and graph.nodes[source.name].step.kind in _NEW
                if new or (isinstance(source, FromFolder) and source.path is not None):
                    seen.add(source)
                    yield _gate(recipe, "zero", source, {"model": (source,)})
    for name in results(graph):
        if graph.nodes[name].step.kind in _NEW and FromStep(name) not in seen:
            yield _gate(recipe, "zero", FromStep(name), {"model": (FromStep(name),)})


def _data(recipe: Recipe, graph: Graph) -> Iterator[Node]:
    seen: set[tuple[Source, ...]] = set()
    known: set[Source] = set()
    for node in graph.nodes.values():
        if node.step.kind not in _LEARNING or "dataset" not in node.inputs:
            continue
        (dataset,) = node.inputs["dataset"]
        model = learner(node)
        if (dataset, *model) not in seen:
            seen.add((dataset, *model))
            yield _gate(
                recipe,
                "data",
                dataset,
                {"dataset": (dataset,)} | ({"model": model} if model else {}),
                f":{_named(model[0])}" if dataset in known else "",
            )
            known.add(dataset)


def _training(recipe: Recipe, graph: Graph) -> Iterator[Node]:
    for node in graph.nodes.values():
        if node.step.kind in _TUNING:
            made = FromStep(node.name)
            kept = {"model": learner(node), "dataset": node.inputs["dataset"]}
            yield _gate(recipe, "training", made, {**kept, "run": (made,)})


def _conversion(recipe: Recipe, graph: Graph) -> Iterator[Node]:
    for node in graph.nodes.values():
        if node.step.kind not in _CONVERTING:
            continue
        dataset = _dataset_before(graph, node)
        if dataset is None:
            raise recipe.complaint(
                "its gate compares answers on examples; name a dataset for it.", node.table
            )
        inputs = {"before": node.inputs["model"], "after": (FromStep(node.name),)}
        inputs["dataset"] = (dataset,)
        if "adapter" in node.inputs:
            inputs["adapter"] = node.inputs["adapter"]
        yield _gate(recipe, "conversion", FromStep(node.name), inputs)


def _serving(recipe: Recipe, graph: Graph) -> Iterator[Node]:
    for name in results(graph):
        inputs: dict[str, tuple[Source, ...]] = {"model": (FromStep(name),)}
        base = _base(graph, graph.nodes[name])
        if base is not None:
            inputs["base"] = (base,)
        yield _gate(recipe, "serving", FromStep(name), inputs)


def _gate(
    recipe: Recipe,
    gate: str,
    subject: Source,
    inputs: Mapping[str, tuple[Source, ...]],
    more: str = "",
) -> Node:
    of = _named(subject) + more
    name = f"gate-{gate}:{of}"
    if f"gate-{gate}" not in kinds():
        raise TrainingError(f"This Punie has no gate {gate}, and nothing goes without.")
    step = step_of(f"gate-{gate}")
    options_type = step.options_type()
    table, limits = f"gates.{gate}", dict(recipe.gates.get(gate, {}))
    own = f"{gate}:{of}"
    if own in recipe.gates:
        table, limits = f"gates.{own}", {**limits, **recipe.gates[own]}
    for key in limits:
        if key not in options_type.model_fields:
            raise recipe.complaint(no_such(key, list(options_type.model_fields)), table, key)
    options: Any = recipe.validated(options_type, limits, table)
    known = {role: sources for role, sources in inputs.items() if role in step.roles}
    return Node(name, step, options, known, table=table)


def _named(source: Source) -> str:
    if isinstance(source, FromStep):
        return source.name
    return source.reference.rstrip("/").rpartition("/")[2]


def _check_limits(recipe: Recipe, gates: list[Node]) -> None:
    inserted = {gate.name.removeprefix("gate-") for gate in gates}
    for name in recipe.gates:
        if name not in _GATES and name not in inserted:
            said = no_such(name, [*_GATES, *sorted(inserted)])
            raise recipe.complaint(said, f"gates.{name}")


def _dataset_before(graph: Graph, node: Node) -> Source | None:
    """Return the dataset of a step, or else of the nearest step that made what it uses."""
    reached = [node]
    for one in reached:
        if one.inputs.get("dataset"):
            return one.inputs["dataset"][0]
        for sources in one.inputs.values():
            reached += [
                graph.nodes[source.name] for source in sources if isinstance(source, FromStep)
            ]
    return None


def _base(graph: Graph, node: Node) -> Source | None:
    """Return the model from elsewhere that a model was made of, None if it was made of nothing."""
    before = learner(node)
    while before and isinstance(before[0], FromStep):
        before = learner(graph.nodes[before[0].name])
    return before[0] if before else None


def _waiting(graph: Graph, gates: list[Node]) -> list[Node]:
    """Return the steps so that each waits for the gates of what it uses."""
    before: dict[Source, list[str]] = {}
    data: dict[Source, list[str]] = {}
    for gate in gates:
        of = data if gate.step.kind == "gate-data" else before
        of.setdefault(_judged(gate), []).append(gate.name)
    changed = []
    for node in graph.nodes.values():
        after: list[str] = []
        for sources in node.inputs.values():
            for source in sources:
                after += before.get(source, [])
                if node.step.kind in _LEARNING:
                    after += data.get(source, [])
        changed.append(replace(node, after=tuple(dict.fromkeys(after))))
    # The gates at the end come last: a serving gate does not run before a conversion gate passed.
    for place, gate in enumerate(gates):
        earlier = [
            name
            for name in before.get(_judged(gate), [])
            if _GATES.index(_of(name)) < _GATES.index(_of(gate.name))
        ]
        gates[place] = replace(gate, after=tuple(dict.fromkeys(earlier)))
    return changed


def _judged(gate: Node) -> Source:
    assert isinstance(gate.step, GateStep)
    return gate.inputs[gate.step.judges or "dataset"][0]


def _of(gate: str) -> str:
    return gate.removeprefix("gate-").partition(":")[0]
