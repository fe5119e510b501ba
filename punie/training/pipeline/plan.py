"""What `punie pipeline plan` tells: all that is known before anything starts."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.models.catalog import ModelUnavailable, read_json_object, weight_bytes
from punie.models.machine import machine_memory
from punie.models.memory import gigabytes
from punie.training.errors import TrainingError
from punie.training.gates.report import GateReport
from punie.training.pipeline.foresight import Foreseen, Foresight, shape_lines
from punie.training.pipeline.gating import results
from punie.training.pipeline.graph import FromFolder, Graph
from punie.training.pipeline.pipeline import described_model, whole_graph
from punie.training.pipeline.recipe import Recipe
from punie.training.pipeline.status import duration
from punie.training.pipeline.store import Store


@dataclass(frozen=True)
class BaseModel:
    """A model that a recipe starts from; sizes in bytes, `weights` 0 if they are not here."""

    reference: str
    path: Path
    kind: str
    parameters: int
    weights: int
    shapes: dict[str, tuple[int, ...]]
    gate: GateReport


@dataclass(frozen=True)
class Plan:
    """What a recipe comes to.

    Attributes:
        problems: why it cannot run; without any it may start.
        cautions: what it takes that is not here, such as weights or memory.
        results: the steps whose models come out at the end, of a search all that may.
        choices: the values that a search tries out.
    """

    recipe: Recipe
    store: Store
    graph: Graph
    steps: dict[str, Foreseen]
    models: tuple[BaseModel, ...]
    problems: tuple[str, ...]
    cautions: tuple[str, ...]
    results: tuple[str, ...]
    choices: tuple[Mapping[str, Any], ...] = ()

    @property
    def seconds(self) -> float | None:
        """The time of all that is left to do, None if one step's time is unknown."""
        times = [step.seconds for step in self.steps.values()]
        known = [one for one in times if one is not None]
        return sum(known) if len(known) == len(times) else None


def plan_recipe(recipe: Recipe, store: Store) -> Plan:
    """Check a recipe and everything that it starts from, and foresee its steps.

    A base model needs no weights for this.

    Raises:
        TrainingError: the recipe is wrong; names the file, line, step and key.
    """
    graph, search = whole_graph(recipe, described_model)
    models = tuple(_base_models(graph))
    steps = Foresight(store).look(graph)
    problems = [
        f"{model.reference}: {check.found}" for model in models for check in model.gate.failures
    ]
    problems += [
        f"{name}: {step.need.refused}" for name, step in steps.items() if step.need.refused
    ]
    return Plan(
        recipe=recipe,
        store=store,
        graph=graph,
        steps=steps,
        models=models,
        problems=tuple(problems),
        cautions=tuple(_cautions(store, steps, models)),
        results=tuple(results(graph)),
        choices=() if search is None else tuple(choice.values for choice in search.choices),
    )


def plan_lines(plan: Plan) -> list[str]:
    """Return a plan for a terminal."""
    lines = [f"{plan.recipe.name}: {len(plan.steps)} steps, {_left(plan)}"]
    for model in plan.models:
        weights = f"weights {gigabytes(model.weights)}" if model.weights else "weights not here"
        lines.append(
            f"\n{model.reference} ({model.kind}): {model.parameters:,} parameters, {weights}, "
            f"gate zero {'passed' if model.gate.passed else 'FAILED'}"
        )
        lines += [f"  {line}" for line in shape_lines(model.shapes)]
    lines.append("")
    width = max(map(len, plan.steps))
    for name, step in plan.steps.items():
        lines.append(f"  {name:{width}}  {_told(step)}")
        if step.tokens is not None:
            lines.append(f"  {'':{width}}  {step.tokens}")
        lines += [f"  {'':{width}}  {note}" for note in step.need.notes]
    machine = machine_memory()
    needed = max((step.need.memory or 0 for step in plan.steps.values()), default=0)
    disk = sum(step.need.disk or 0 for step in plan.steps.values())
    lines.append("")
    if needed:
        lines.append(
            f"memory: about {gigabytes(needed)} at most; {gigabytes(machine.available)} are free "
            f"of {gigabytes(machine.usable)}"
        )
    if disk:
        lines.append(f"disk: about {gigabytes(disk)}; {gigabytes(_free(plan.store))} are free")
    lines.append(f"outputs: {plan.store.folder}")
    if plan.choices:
        lines.append(f"search: {len(plan.choices)} choices, the best goes through the serving gate")
        for number, choice in enumerate(plan.choices, 1):
            shown = ", ".join(f"{key} = {value}" for key, value in choice.items())
            lines.append(f"  #{number} {shown}")
    names = (
        [plan.recipe.name]
        if len(plan.results) == 1
        else [f"{plan.recipe.name}-{step}" for step in plan.results]
    )
    lines += (
        []
        if plan.choices
        else [
            f"result: model {name} (from {step})"
            for name, step in zip(names, plan.results, strict=True)
        ]
    )
    lines += [f"note: {one}" for one in plan.cautions]
    lines += [f"PROBLEM: {one}" for one in plan.problems]
    return lines


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return a plan for `--json`."""
    machine = machine_memory()
    return {
        "name": plan.recipe.name,
        "store": str(plan.store.folder),
        "seconds": plan.seconds,
        "memory": {"usable": machine.usable, "available": machine.available},
        "disk_free": _free(plan.store),
        "models": [
            {
                "reference": model.reference,
                "path": str(model.path),
                "kind": model.kind,
                "parameters": model.parameters,
                "weights": model.weights,
                "shapes": model.shapes,
                "gate": {**model.gate.model_dump(mode="json"), "passed": model.gate.passed},
            }
            for model in plan.models
        ],
        "steps": [
            {
                "name": name,
                "kind": step.node.step.kind,
                "makes": step.node.makes,
                "after": step.node.needed,
                "options": step.node.options.model_dump(mode="json"),
                "there": step.record is not None,
                "key": step.key,
                "seconds": step.seconds,
                "seconds_from": step.like,
                "memory": step.need.memory,
                "disk": step.need.disk,
                "notes": list(step.need.notes),
                "tokens": None if step.tokens is None else vars(step.tokens),
            }
            for name, step in plan.steps.items()
        ],
        "results": list(plan.results),
        "choices": [dict(choice) for choice in plan.choices],
        "cautions": list(plan.cautions),
        "problems": list(plan.problems),
    }


def _base_models(graph: Graph) -> list[BaseModel]:
    from punie.training.gates.zero import gate_zero
    from punie.training.quantizing.estimate import shapes_of

    found: dict[Path, BaseModel] = {}
    for node in graph.nodes.values():
        for role, sources in node.inputs.items():
            for source in sources:
                if node.step.roles[role].artifact != "model" or not isinstance(source, FromFolder):
                    continue
                if source.path is None or source.path in found:
                    continue
                try:
                    config = read_json_object(source.path / "config.json")
                except ModelUnavailable as error:
                    raise TrainingError(str(error)) from None
                shapes = shapes_of(config)
                found[source.path] = BaseModel(
                    reference=source.reference,
                    path=source.path,
                    kind=str(config.get("model_type", "unknown")),
                    parameters=sum(math.prod(shape) for shape in shapes.values()),
                    weights=weight_bytes(source.path),
                    shapes=shapes,
                    gate=gate_zero(source.path),
                )
    return list(found.values())


def _cautions(store: Store, steps: dict[str, Foreseen], models: tuple[BaseModel, ...]) -> list[str]:
    found = [
        f"The weights of {model.reference} are not here; get them before the pipeline is run."
        for model in models
        if not model.weights
    ]
    machine = machine_memory()
    for name, step in steps.items():
        if step.need.memory is not None and step.need.memory > machine.usable:
            found.append(
                f"{name} needs about {gigabytes(step.need.memory)} of memory, and "
                f"{gigabytes(machine.usable)} can be used here."
            )
    disk = sum(step.need.disk or 0 for step in steps.values())
    if disk > _free(store):
        found.append(
            f"The outputs take about {gigabytes(disk)}, and {gigabytes(_free(store))} are free at "
            f"{store.folder}; make room or name another folder with --store."
        )
    return found


def _told(step: Foreseen) -> str:
    if step.record is not None:
        when = "" if step.record.seconds is None else f", took {duration(step.record.seconds)}"
        passed = {None: "", True: ", passed", False: ", DID NOT PASS"}[step.record.passed]
        return f"is there{passed}{when}"
    parts = ["time unknown"]
    if step.seconds is not None:
        many = "one earlier step" if step.like == 1 else f"{step.like} earlier steps"
        parts = [f"about {duration(step.seconds)} (from {many})"]
    if step.need.memory is not None:
        parts.append(f"memory {gigabytes(step.need.memory)}")
    if step.need.disk is not None:
        parts.append(f"disk {gigabytes(step.need.disk)}")
    return ", ".join(parts)


def _left(plan: Plan) -> str:
    there = sum(step.record is not None for step in plan.steps.values())
    if there == len(plan.steps):
        return "all done already"
    left = f"{there} done already, " if there else ""
    if plan.seconds is None:
        return f"{left}the time is unknown: some kinds have not run on this machine yet"
    return f"{left}about {duration(plan.seconds)}"


def _free(store: Store) -> int:
    place = next(one for one in (store.folder, *store.folder.parents) if one.is_dir())
    return shutil.disk_usage(place).free
