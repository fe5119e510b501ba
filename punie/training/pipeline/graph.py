"""The graph of a recipe: checked steps in an order in which they can run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from punie.models.catalog import ENDPOINT_PREFIX, ModelUnavailable
from punie.training.errors import TrainingError
from punie.training.hashing import value_hash
from punie.training.pipeline.kinds import step_of
from punie.training.pipeline.recipe import Recipe, no_such
from punie.training.pipeline.step import Artifact, Role, Step

FindModel = Callable[[str, Path, bool], Path]
"""Finds a model's folder by its reference; relative paths begin in the given folder. The last
argument tells whether it needs weights."""


@dataclass(frozen=True)
class FromStep:
    """The output of another step."""

    name: str


@dataclass(frozen=True)
class FromFolder:
    """Something that is there already, as it was referred to; `path` is None for a served model."""

    reference: str
    path: Path | None


Source = FromStep | FromFolder


@dataclass(frozen=True)
class Node:
    """One step of a graph.

    Attributes:
        name: as in the recipe, or made up for a gate.
        step: its kind.
        options: validated.
        inputs: where they come from, by role.
        after: gates that have to have passed first.
        table: the recipe's table, for complaints.
    """

    name: str
    step: Step
    options: Any
    inputs: Mapping[str, tuple[Source, ...]]
    after: tuple[str, ...] = ()
    table: str = ""

    @property
    def makes(self) -> Artifact:
        """What comes out."""
        return self.step.makes(self.options)

    @property
    def decisive(self) -> dict[str, Any]:
        """The options that can change the output, as plain data."""
        values: dict[str, Any] = self.options.model_dump(mode="json")
        return {key: value for key, value in values.items() if key not in self.step.neutral}

    @property
    def needed(self) -> list[str]:
        """The steps that have to be done before: inputs first, then gates."""
        of_inputs = [
            source.name
            for sources in self.inputs.values()
            for source in sources
            if isinstance(source, FromStep)
        ]
        return list(dict.fromkeys([*of_inputs, *self.after]))


@dataclass(frozen=True)
class Graph:
    """Steps by name, each behind all that it needs."""

    nodes: Mapping[str, Node] = field(default_factory=dict)

    def behind(self, name: str) -> list[str]:
        """Return the steps that take the output of a step as an input."""
        return [
            node.name
            for node in self.nodes.values()
            if any(FromStep(name) in sources for sources in node.inputs.values())
        ]

    def structure(self) -> dict[str, str]:
        """Return for each step a hash of what it and all before it do: equal work, equal hash."""
        found: dict[str, str] = {}
        for name, node in self.nodes.items():
            inputs = {
                role: [
                    found[source.name]
                    if isinstance(source, FromStep)
                    else str(source.path or source.reference)
                    for source in sources
                ]
                for role, sources in node.inputs.items()
            }
            found[name] = value_hash([node.step.kind, node.decisive, inputs])
        return found


def learner(node: Node) -> tuple[Source, ...]:
    """Return the model whose tokens and window a step's dataset has to fit; none for some."""
    for role in ("model", "student", "target"):
        if node.inputs.get(role):
            return node.inputs[role]
    return ()


def recipe_graph(recipe: Recipe, find_model: FindModel) -> Graph:
    """Check a recipe's steps and return their graph, still without the gates.

    Raises:
        TrainingError: names the file, line, step and key of what is wrong.
    """
    nodes = {name: _node(recipe, name, find_model) for name in recipe.steps}
    for node in nodes.values():
        _check_types(recipe, node, nodes)
    return in_order(nodes.values(), recipe)


def in_order(nodes: Iterable[Node], recipe: Recipe | None = None) -> Graph:
    """Return the steps so that each stands behind what it needs; as given where that is free.

    Raises:
        TrainingError: they go in a circle, which is named.
    """
    by_name = {node.name: node for node in nodes}
    ordered: dict[str, Node] = {}
    way: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        if name in way:
            circle = " -> ".join([*way[way.index(name) :], name])
            said = f"the steps go in a circle: {circle}."
            raise TrainingError(said) if recipe is None else recipe.complaint(said, f"steps.{name}")
        way.append(name)
        for needed in by_name[name].needed:
            visit(needed)
        way.pop()
        ordered[name] = by_name[name]

    for name in by_name:
        visit(name)
    return Graph(ordered)


def _node(recipe: Recipe, name: str, find_model: FindModel) -> Node:
    table = f"steps.{name}"
    values = dict(recipe.steps[name])
    kind = values.pop("kind")
    try:
        step = step_of(kind)
    except TrainingError as error:
        raise recipe.complaint(str(error), table, "kind") from None
    inputs: dict[str, tuple[Source, ...]] = {}
    for role_name, role in step.roles.items():
        given = values.pop(role_name, recipe.model if role.of_recipe else None)
        if given is None:
            if role.required:
                said = f"it needs {role_name} ({_described(role)})."
                if role.of_recipe:
                    said = "it needs a model; name one at the top of the recipe or with --model."
                raise recipe.complaint(said, table)
            continue
        references = given if role.many and isinstance(given, list) else [given]
        if not references or not all(isinstance(one, str) and one for one in references):
            said = f"{role_name} is to be {_described(role)}."
            raise recipe.complaint(said, table, role_name)
        inputs[role_name] = tuple(
            _source(recipe, one, role, table, role_name, find_model) for one in references
        )
    kind_of_options = step.options_type()
    if step.seeded and "seed" in kind_of_options.model_fields:
        values.setdefault("seed", recipe.seed)
    hidden = set(step.renamed.values())
    names = [*step.renamed, *(one for one in kind_of_options.model_fields if one not in hidden)]
    for key in values:
        if key not in names:
            raise recipe.complaint(no_such(key, [*step.roles, *names]), table, key)
    values = {step.renamed.get(key, key): value for key, value in values.items()}
    options = recipe.validated(kind_of_options, values, table)
    return Node(name, step, options, inputs, table=table)


def _source(
    recipe: Recipe, reference: str, role: Role, table: str, key: str, find_model: FindModel
) -> Source:
    if reference.startswith("@"):
        wanted = reference[1:]
        if wanted not in recipe.steps:
            raise recipe.complaint(
                f"{key} names the step {wanted!r}: {no_such(wanted, list(recipe.steps))}",
                table,
                key,
            )
        return FromStep(wanted)
    if role.artifact == "model":
        if reference.startswith(ENDPOINT_PREFIX):
            if not role.served:
                raise recipe.complaint(
                    f"{key} is {reference}, but it has to be a model on this machine.", table, key
                )
            return FromFolder(reference, None)
        try:
            return FromFolder(reference, find_model(reference, recipe.folder, role.weights))
        except ModelUnavailable as error:
            raise recipe.complaint(str(error), table, key) from None
    path = (recipe.folder / Path(reference).expanduser()).resolve()
    if not path.is_dir():
        cure = f'write "@{reference}" for a step' if reference in recipe.steps else "correct it"
        raise recipe.complaint(
            f"{key} is {reference!r}, and there is no folder {path}; {cure}.", table, key
        )
    return FromFolder(reference, path)


def _check_types(recipe: Recipe, node: Node, nodes: Mapping[str, Node]) -> None:
    for key, sources in node.inputs.items():
        role = node.step.roles[key]
        for source in sources:
            if isinstance(source, FromStep):
                made = nodes[source.name].makes
                if made != role.artifact:
                    raise recipe.complaint(
                        f"{key} is to be {_described(role)}, and @{source.name} makes {_a(made)}.",
                        node.table,
                        key,
                    )


def _described(role: Role) -> str:
    one = _a(role.artifact)
    return f"a list of {role.artifact}s" if role.many else one


def _a(artifact: str) -> str:
    return f"{'an' if artifact[0] in 'aeiou' else 'a'} {artifact}"
