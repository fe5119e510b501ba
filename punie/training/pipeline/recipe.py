"""Recipes: what a pipeline does, as a TOML file.

At the top `name`, `model` (the base model) and `seed`; a table `[steps.NAME]` for each step with
its `kind`, its inputs (`"@NAME"` is the output of another step, anything else a model or a folder)
and its options; tables `[gates.NAME]` with limits; and `[search]` for what is to be tried out.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from punie.plain_files import read_plain
from punie.training.errors import TrainingError

_MOST_BYTES = 1 << 20
_TOP = {"name", "model", "seed", "store", "steps", "gates", "search"}
_STEP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_RECIPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_RECIPES = "punie.training.recipes"


@dataclass(frozen=True)
class Recipe:
    """A recipe as it was read, with what the command line changed.

    Attributes:
        name: what its runs and its result are called.
        folder: where relative paths in it begin.
        text: the file, for the lines that complaints name.
        file: the file's name for complaints.
        model: reference of the base model.
        seed: for each step that has an option `seed` and is given none.
        store: where outputs lie, if the recipe says so.
        steps: the tables by name, in the order of the file.
        gates: limits by gate.
        search: the table as it stands there.
    """

    name: str
    folder: Path
    text: str
    file: str
    model: str | None = None
    seed: int = 1
    store: str | None = None
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    search: Mapping[str, Any] | None = None

    def complaint(self, said: str, table: str = "", key: str = "") -> TrainingError:
        """Return an error that names the file, the line where it can be told, and the table."""
        line = line_of(self.text, table, key)
        where = f"{self.file}, line {line}" if line else self.file
        inside = f"{table}: " if table else ""
        return TrainingError(f"{where}: {inside}{said}")

    def validated(self, kind: type[BaseModel], values: Mapping[str, Any], table: str) -> BaseModel:
        """Return options made of `values`; raise `TrainingError` that names the key and line."""
        try:
            return kind.model_validate(values)
        except ValidationError as error:
            raise self._of_options(kind, error, table) from None

    def _of_options(
        self, kind: type[BaseModel], error: ValidationError, table: str
    ) -> TrainingError:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        top = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            return self.complaint(no_such(key, list(kind.model_fields)), table, top)
        if not key:
            return self.complaint(f"{first['msg'].removeprefix('Value error, ')}.", table)
        message = first["msg"].removeprefix("Value error, ")
        return self.complaint(f"{key}: {message[:1].lower()}{message[1:]}.", table, top)

    def with_values(self, values: Mapping[str, Any]) -> "Recipe":
        """Return the recipe with other values by key: `tune.rank`, `seed`, `gates.data.LIMIT`.

        Raises:
            TrainingError: a key names no step.
        """
        changed = self
        for key, value in values.items():
            changed = changed._with_value(key, value)
        return changed

    def _with_value(self, key: str, value: Any) -> "Recipe":
        if key in ("name", "model", "store"):
            if not isinstance(value, str):
                raise TrainingError(f"{key} is to be a text, not {value!r}.")
            _check_name(value, key)
            changes: dict[str, Any] = {key: value}
            return replace(self, **changes)
        if key == "seed":
            if not isinstance(value, int) or isinstance(value, bool):
                raise TrainingError(f"seed is to be a whole number, not {value!r}.")
            return replace(self, seed=value)
        parts = key.split(".")
        if parts[0] == "steps" and len(parts) == 3:
            parts = parts[1:]
        if parts[0] == "gates" and len(parts) == 3:
            of_gate = {**self.gates.get(parts[1], {}), parts[2]: value}
            return replace(self, gates={**self.gates, parts[1]: of_gate})
        if len(parts) != 2 or parts[0] not in self.steps:
            known = ", ".join(f"{name}.OPTION" for name in self.steps)
            raise TrainingError(
                f"{key!r} is nothing that {self.file} has; it can be name, model, seed, "
                f"gates.GATE.LIMIT, {known}."
            )
        name, option = parts
        table = {**self.steps[name], option: value}
        return replace(self, steps={**self.steps, name: table})


def read_recipe(reference: str, values: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe: a file, or the name of one that comes with Punie; `values` go before it.

    Raises:
        TrainingError: there is none, or it is not what a recipe has to be; names file and line.
    """
    path = Path(reference).expanduser()
    if not path.exists() and reference in shipped_recipes():
        path = Path(str(resources.files(_RECIPES) / f"{reference}.toml"))
        return _parse(path, f"recipe {reference}", Path.cwd(), values or {})
    return _parse(path, str(path), path.absolute().parent, values or {})


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that come with Punie."""
    files = resources.files(_RECIPES).iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".toml"))


def setting(text: str) -> tuple[str, Any]:
    """Read `KEY=VALUE` of the command line; the value as TOML has it, or else a text.

    Raises:
        TrainingError: there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise TrainingError(f"{text!r} sets nothing; write KEY=VALUE, such as tune.rank=16.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def no_such(key: str, known: Sequence[str]) -> str:
    """Say that there is no such key, and which may have been meant."""
    close = difflib.get_close_matches(key, known, n=1)
    cure = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}."
    return f"there is no {key!r} here; {cure}"


def line_of(text: str, table: str, key: str = "") -> int | None:
    """Return the line of a key in a table, or else of the table; None where it is not plain."""
    found, inside = None, not table
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if header:
            inside = header[1].replace('"', "").replace(" ", "") == table
            if inside:
                found = number
        elif inside and key and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
            return number
    return found


def _parse(path: Path, named: str, folder: Path, values: Mapping[str, Any]) -> Recipe:
    text = _text(path, named)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"{named} is not valid TOML: {error}.") from None
    recipe = Recipe(name=path.stem, folder=folder, text=text, file=named)
    for key in found:
        if key not in _TOP:
            raise recipe.complaint(no_such(key, sorted(_TOP)), "", key)
    for key in ("steps", "gates"):
        _check_tables(recipe, found.get(key, {}), key)
    if not found.get("steps"):
        raise recipe.complaint("there are no steps; write a table [steps.NAME] for each.")
    if not isinstance(found.get("search", {}), dict):
        raise recipe.complaint("search is to be a table.", "", "search")
    for name, table in found["steps"].items():
        if not _STEP_NAME.match(name):
            said = "a step's name has letters, digits, - and _, and begins with a letter."
            raise recipe.complaint(said, f"steps.{name}")
        if not isinstance(table.get("kind"), str):
            raise recipe.complaint('a step needs a kind, such as kind = "tune".', f"steps.{name}")
    recipe = replace(
        recipe,
        steps=found["steps"],
        gates=found.get("gates", {}),
        search=found.get("search"),
    )
    top: dict[str, Any] = {
        key: found[key] for key in ("name", "model", "seed", "store") if key in found
    }
    return recipe.with_values({"name": path.stem, **top, **values})


def _check_name(value: str, key: str) -> None:
    if key == "name" and not _RECIPE_NAME.match(value):
        raise TrainingError(
            f"The name {value!r} will not do; use letters, digits, '.', '-' and '_', and begin "
            "with a letter or digit."
        )


def _check_tables(recipe: Recipe, tables: Any, key: str) -> None:
    if not isinstance(tables, dict):
        raise recipe.complaint(f"{key} is to hold tables.", "", key)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise recipe.complaint(f"{key}.{name} is to be a table.", key, name)


def _text(path: Path, named: str) -> str:
    try:
        return read_plain(path, _MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        shipped = ", ".join(shipped_recipes()) or "none"
        raise TrainingError(
            f"There is no recipe {named}; name a TOML file, or one that comes with Punie "
            f"({shipped})."
        ) from None
    except UnicodeDecodeError:
        raise TrainingError(f"{named} is not UTF-8 text.") from None
    except OSError as error:
        raise TrainingError(f"{named} cannot be read ({error.strerror}).") from error
