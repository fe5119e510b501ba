"""BFCL's questions of several turns, with the programs of the checkout that answer their calls.

A question names classes. Each is defined in a module of `func_source_code`, and the functions that
are offered of it are described in the file of the module's name in `multi_turn_func_doc`.
"""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suites.external.bfcl_entries import (
    Broken,
    Message,
    answers_of,
    entries_of,
    lines_of,
    prompt_of,
)
from punie.evaluation.suites.external.bfcl_scoring import Described
from punie.training.hashing import value_hash

PACKAGE = ("bfcl_eval", "eval_checker", "multi_turn_eval", "func_source_code")
"""The package that the classes are in, by which they import each other."""

_DESCRIPTIONS = "multi_turn_func_doc"
_SETTINGS = "constants/default_prompts.py"
_STEPS = "MAXIMUM_STEP_LIMIT"
_OFFER = "DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC"


@dataclass(frozen=True)
class Simulation:
    """The simulated APIs of a checkout.

    Attributes:
        digest: of all the other attributes.
        sources: the files of the package, by name.
        modules: the module of each class.
        functions: the functions of each module, as BFCL describes them.
        steps: answers with calls that a turn may hold.
        offer: what is said when functions are added.
    """

    digest: str
    sources: Mapping[str, str] = field(repr=False)
    modules: Mapping[str, str] = field(repr=False)
    functions: Mapping[str, tuple[Described, ...]] = field(repr=False)
    steps: int
    offer: str


@dataclass(frozen=True)
class Conversation:
    """A question of several turns.

    Attributes:
        name: its id, such as `multi_turn_base_12`.
        category: what it is of.
        prompts: what is said in each turn.
        held_back: by the number of a turn, the names of functions that are offered only from then.
        classes: those whose functions are offered, in order.
        config: their state in the beginning, by class.
        due: the calls of each turn, written in Python.
        simulation: what runs them.
    """

    name: str
    category: str
    prompts: tuple[str, ...]
    held_back: Mapping[int, tuple[str, ...]]
    classes: tuple[str, ...]
    config: Mapping[str, Any]
    due: tuple[tuple[str, ...], ...]
    simulation: Simulation

    @property
    def long_context(self) -> bool:
        """Whether the classes fill their state and results with much more."""
        return "long_context" in self.category

    def offered(self, turn: int) -> list[Described]:
        """Return the functions that are offered in a turn, those that were held back last."""
        described = [
            each
            for name in self.classes
            for each in self.simulation.functions[self.simulation.modules[name]]
        ]
        by_name = {each["name"]: each for each in reversed(described)}
        held_back = {name for names in self.held_back.values() for name in names}
        since = [names for number, names in self.held_back.items() if number <= turn]
        kept = [each for each in described if each["name"] not in held_back]
        return [*kept, *(by_name[name] for names in since for name in names if name in by_name)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str = Field(min_length=1)
    question: tuple[tuple[Message, ...], ...] = Field(min_length=1)
    involved_classes: tuple[str, ...] = Field(min_length=1)
    initial_config: dict[str, Any] = {}
    missed_function: dict[int, tuple[str, ...]] = {}


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    ground_truth: tuple[tuple[str, ...], ...]


def read_conversations(files: Mapping[str, Path]) -> dict[str, Conversation | Broken]:
    """Return the questions of several turns of these categories, by id.

    In place of one that is broken stands why; all are where the checkout lacks the programs.

    Raises:
        EvaluationError: a file cannot be read.
    """
    found: dict[str, Conversation | Broken] = {}
    simulations = {file.parent: _simulation_or_why_not(file.parent) for file in files.values()}
    for category, file in files.items():
        simulation = simulations[file.parent]
        answers = answers_of(_Answer, file)
        for number, entry in entries_of(_Entry, file):
            if isinstance(entry, str):
                found[f"{category}/line-{number}"] = Broken(category, entry)
                continue
            answer = answers.get(entry.id, "there is none")
            if isinstance(simulation, str):
                found[entry.id] = Broken(category, simulation)
            elif isinstance(answer, str):
                reason = f"no possible answer for {entry.id} ({answer})."
                found[entry.id] = Broken(category, f"{file.name}, line {number}: {reason}")
            else:
                found[entry.id] = _conversation(category, entry, answer, simulation)
    return found


def _simulation_or_why_not(data: Path) -> Simulation | str:
    try:
        return read_simulation(data)
    except EvaluationError as error:
        return str(error)


def _conversation(
    category: str, entry: _Entry, answer: _Answer, simulation: Simulation
) -> Conversation | Broken:
    unknown = [name for name in entry.involved_classes if name not in simulation.modules]
    if unknown:
        return Broken(category, f"{entry.id}: the checkout defines no class {unknown[0]}.")
    if len(answer.ground_truth) != len(entry.question):
        turns, due = len(entry.question), len(answer.ground_truth)
        return Broken(category, f"{entry.id}: it has {turns} turns, and its answer {due}.")
    return Conversation(
        name=entry.id,
        category=category,
        prompts=tuple(prompt_of(turn) or simulation.offer for turn in entry.question),
        held_back=entry.missed_function,
        classes=entry.involved_classes,
        config=entry.initial_config,
        due=answer.ground_truth,
        simulation=simulation,
    )


def read_simulation(data: Path) -> Simulation:
    """Return the simulated APIs that belong to a folder of questions.

    Raises:
        EvaluationError: they are not there, or broken.
    """
    package = data.parent
    folder = package.joinpath(*PACKAGE[1:])
    settings = package / _SETTINGS
    for needed in (folder, data / _DESCRIPTIONS, settings):
        if not needed.exists():
            raise EvaluationError(
                f"Questions of several turns need BFCL's programs, and {needed} is missing; "
                "name a whole checkout."
            )
    try:
        sources = {file.name: file.read_text("utf-8") for file in sorted(folder.glob("*.py"))}
        modules = {
            node.name: name.removesuffix(".py")
            for name, text in sources.items()
            for node in ast.parse(text).body
            if isinstance(node, ast.ClassDef)
        }
        functions = {
            file.stem: tuple(json.loads(line) for _, line in lines_of(file))
            for file in sorted((data / _DESCRIPTIONS).glob("*.json"))
        }
        constants = _constants(settings.read_text("utf-8"))
        steps, offer = constants[_STEPS], constants[_OFFER]
    except (OSError, ValueError, SyntaxError) as error:
        raise EvaluationError(f"BFCL's programs in {package} cannot be read ({error}).") from error
    except KeyError as error:
        raise EvaluationError(f"{settings} has no {error.args[0]}.") from error
    known = {name: module for name, module in modules.items() if module in functions}
    digest = value_hash([sources, functions, steps, offer])
    return Simulation(digest, sources, known, functions, int(steps), str(offer))


def _constants(text: str) -> dict[str, Any]:
    """Return the plain values that a module gives its names."""
    found: dict[str, Any] = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
            continue
        names = [each.id for each in node.targets if isinstance(each, ast.Name)]
        found.update(dict.fromkeys(names, node.value.value))
    return found
