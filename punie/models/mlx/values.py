"""Argument values: from the text of an XML call by the tool's JSON schema, and back to text."""

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any

_JSON_TYPES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


def value_text(value: object) -> str:
    """Return how an argument is written in an XML call: strings as they are, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def coerce(text: str, schema: Mapping[str, Any] | None, root: Mapping[str, Any]) -> Any:
    """Read `text` as the type that `schema` asks for; `root` holds the `$defs` it may refer to.

    A string stays a string, the word `null` included, unless the schema also allows null. What
    does not read as the asked-for type is returned as the text, so that validation names it.
    """
    types = set(_types(schema, root, depth=8)) if schema is not None else set()
    word = text.strip()
    if "null" in types and word in ("null", "None"):
        return None
    if "string" in types:
        return text
    value = _parse(word)
    if value is _NOTHING:
        return text
    if not types:
        # Nothing is said about the type: only what is clearly not prose is read as JSON.
        return value if isinstance(value, (dict, list, bool, int, float)) else text
    if isinstance(value, float) and "integer" in types and value.is_integer():
        return int(value)
    found = _JSON_TYPES[type(value)]
    matches = found in types or (found == "integer" and "number" in types)
    return value if matches else text


def recoerce(value: Any, schema: Mapping[str, Any] | None, root: Mapping[str, Any]) -> Any:
    """Repair a JSON argument that was written as a string where the schema allows none."""
    return coerce(value, schema, root) if isinstance(value, str) else value


class _Nothing:
    """Marks that a text could not be read."""


_NOTHING = _Nothing()


def _parse(word: str) -> Any:
    try:
        return json.loads(word, strict=False, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        pass
    try:
        # Models that learned from Python write True, None and single quotes.
        value = ast.literal_eval(word)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return _NOTHING
    return value if type(value) in _JSON_TYPES else _NOTHING


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _types(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Yield the JSON types that `schema` allows; `depth` bounds circular references."""
    if depth == 0:
        return
    declared = schema.get("type")
    if isinstance(declared, str):
        yield declared
    elif isinstance(declared, (list, tuple)):
        yield from map(str, declared)
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = _resolve(reference, root)
        if target is not None:
            yield from _types(target, root, depth - 1)
    for keyword in ("anyOf", "oneOf", "allOf"):
        for branch in schema.get(keyword) or ():
            if isinstance(branch, Mapping):
                yield from _types(branch, root, depth - 1)
    if declared is None:
        values = [*(schema.get("enum") or ()), *([schema["const"]] if "const" in schema else [])]
        yield from (_JSON_TYPES[type(value)] for value in values if type(value) in _JSON_TYPES)


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if not reference.startswith("#/"):
        return None
    target: Any = root
    for step in reference.removeprefix("#/").split("/"):
        if not isinstance(target, Mapping):
            return None
        target = target.get(step.replace("~1", "/").replace("~0", "~"))
    return target if isinstance(target, Mapping) else None
