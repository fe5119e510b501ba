"""Runs the classes of BFCL's simulated APIs for one conversation: a JSON line in, a JSON line out.

It is given to the Python that has what the classes need, which does not know Punie, and so needs
nothing but Python 3.9. Beside it lie the sources, in a package of the name that they import by.
Each player has instances of its own:

- `load` makes them: `player`, `package`, `classes` (names with their modules), `config` by class,
  `long_context`. The answer is `loaded`, or `missing` with a module that is not installed.
- `call` calls a function: `player`, `name`, `arguments`. The answer is its `result` as a text.
- `run` does so with a call that is written in Python: `player`, `source`.
- `compare` names the `differing` attributes of two `players`.

What goes wrong in anything but a call is answered as `failed`.
"""

import ast
import importlib
import inspect
import json
import os
from typing import Any, NamedTuple


class _Player(NamedTuple):
    """Instances by the names of their classes, and methods of them by the names of functions."""

    instances: dict[str, Any]
    methods: dict[str, Any]


def main() -> None:
    """Answer lines until there are no more."""
    asked = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What the classes print or read is no part of this conversation.
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    players: dict[str, _Player] = {}
    for line in asked:
        try:
            answer = _answer(json.loads(line), players)
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(asked: dict[str, Any], players: dict[str, _Player]) -> dict[str, Any]:
    wanted = asked["do"]
    if wanted == "load":
        return _load(asked, players)
    if wanted == "compare":
        first, second = (players[name].instances for name in asked["players"])
        return {"differing": _differing(first, second)}
    methods = players[asked["player"]].methods
    if wanted == "call":
        return {"result": _called(methods, asked["name"], [], asked["arguments"])}
    return {"result": _run(methods, asked["source"])}


def _load(asked: dict[str, Any], players: dict[str, _Player]) -> dict[str, Any]:
    made = _Player({}, {})
    for name, module in asked["classes"]:
        try:
            found = importlib.import_module(f"{asked['package']}.{module}")
        except ModuleNotFoundError as error:
            return {"missing": error.name}
        instance = getattr(found, name)()
        # A class without a state of its own has no such method.
        if hasattr(instance, "_load_scenario"):
            config = asked["config"].get(name, {})
            instance._load_scenario(config, long_context=asked["long_context"])
        made.instances[name] = instance
        # Of two classes that have a function of one name BFCL takes the last.
        made.methods.update(inspect.getmembers(instance, predicate=inspect.ismethod))
    players[asked["player"]] = made
    return {"loaded": list(made.instances)}


def _run(methods: dict[str, Any], source: str) -> str:
    try:
        call = ast.parse(source, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError(f"{source} is not a call")
        values = [ast.literal_eval(value) for value in call.args]
        named = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except Exception as error:
        return _error(error)
    return _called(methods, call.func.id, values, named)


def _called(
    methods: dict[str, Any], name: str, values: list[Any], arguments: dict[str, Any]
) -> str:
    try:
        if name.startswith("_") or name not in methods:
            raise NameError(f"name '{name}' is not defined")
        result = methods[name](*values, **arguments)
    except Exception as error:
        return _error(error)
    if type(result) is dict:
        try:
            return json.dumps(result)
        except (TypeError, ValueError, RecursionError):
            return str(result)
    return result if type(result) is str else str(result)


def _error(error: Exception) -> str:
    return f"Error during execution: {error}"


def _differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Name the public attributes in which the first are not as the second."""
    nothing = object()
    return [
        f"{name}.{attribute}"
        for name, instance in second.items()
        for attribute, value in vars(instance).items()
        if not attribute.startswith("_") and getattr(first[name], attribute, nothing) != value
    ]


if __name__ == "__main__":
    main()
