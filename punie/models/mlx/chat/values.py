"""Argument values: from the text of a call by the tool's JSON schema, and back to text.

In an XML call a value is text. What a schema says may be a string and nothing else is taken as it
stands, the word `null` included. Where it allows no string the text is JSON. Where it allows both,
or says nothing, text that is JSON of another allowed type is that value; a string that would be
read so is written as a JSON string, which is then the string inside.
"""

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

_JSON_TYPES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
_EVERY_TYPE = frozenset(_JSON_TYPES.values())
_DEEPEST = 8
_LITERAL = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"""
    r"|True|False|None",
    re.DOTALL,
)
"""A string, number or word as Python writes it, of those that have a twin in JSON."""
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[\]}])', re.DOTALL)


class NotJsonError(ValueError):
    """A text is no JSON, nor anything that could only mean one JSON value."""


def types_of(schema: Schema | None, root: Schema) -> frozenset[str]:
    """Return the JSON types that a schema allows; all of them where it says nothing.

    `root` holds the `$defs` that the schema may refer to.
    """
    found = frozenset(_types(schema, root, _DEEPEST)) if schema is not None else frozenset()
    return found or _EVERY_TYPE


def is_text(types: frozenset[str]) -> bool:
    """Tell whether values of these types are written as they are and end at a closing tag."""
    return "string" in types


def value_text(value: object, schema: Schema | None = None, root: Schema | None = None) -> str:
    """Return how an argument is written in an XML call, so that `coerce` reads it back."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    types = types_of(schema, root or {}) if schema is not None else frozenset({"string"})
    return value if _reads_as_itself(value, types) else json.dumps(value, ensure_ascii=False)


def coerce(text: str, schema: Schema | None, root: Schema) -> Any:
    """Read the text of a value in an XML call.

    What does not read as a type that the schema allows is returned as the text, so that validation
    names it. Raises `NotJsonError` for JSON that says one key twice.
    """
    types = types_of(schema, root)
    if types == {"string"}:
        return text
    if "string" in types:
        return _read_either(text, types, schema, root)
    try:
        value = read_json(text.strip())
    except DuplicateKeyError:
        raise
    except NotJsonError:
        return text
    value = _as_integer(value, types)
    return fit(value, schema, root) if _allowed(value, types) else text


def fit(value: Any, schema: Schema | None, root: Schema) -> Any:
    """Return a JSON argument with what was written as a string, where the schema has none, read."""
    return _fit(value, schema, root, _DEEPEST)


def read_json(text: str) -> Any:
    """Read JSON, also with line breaks in strings, commas before a closer or written as Python.

    Raises `NotJsonError` for anything else, `DuplicateKeyError` for an object that has a key twice.
    """
    try:
        return parse_json(text)
    except DuplicateKeyError:
        raise
    except NotJsonError as error:
        fault = error
    bare = _STRING_OR_COMMA.sub(lambda m: "" if m.group() == "," else m.group(), text)
    if bare != text:
        try:
            return parse_json(bare)
        except DuplicateKeyError:
            raise
        except NotJsonError:
            pass
    try:
        # Models that learned from Python write True, None and single quotes.
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an escape that Python does not know is no string
            source = text.strip()
            return _plain(ast.parse(source, mode="eval").body, source)
    except DuplicateKeyError:
        raise
    except (ValueError, SyntaxError, MemoryError, RecursionError, Warning):
        raise fault from None


class DuplicateKeyError(NotJsonError):
    """An object of a JSON text has a key twice, with different values."""


def parse_json(text: str) -> Any:
    """Read JSON, line breaks in strings allowed; raise `NotJsonError` or `DuplicateKeyError`."""
    try:
        return DECODER.decode(text)
    except NotJsonError:
        raise
    except (ValueError, RecursionError) as error:
        raise NotJsonError(str(error)) from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and not same(found[key], value):
            raise DuplicateKeyError(f"the key {key!r} is there twice")
        found[key] = value
    return found


def _number(text: str) -> float:
    return float(_finite(float(text)))


def _refuse_constant(name: str) -> None:
    raise NotJsonError(f"{name} is not JSON")


DECODER = json.JSONDecoder(
    strict=False,
    object_pairs_hook=_pairs,
    parse_float=_number,
    parse_constant=_refuse_constant,
)
"""Raises `NotJsonError` and `DuplicateKeyError`, besides what decoders raise."""


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal; 1, 1.0 and true are not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def has_surrogate(value: Any) -> bool:
    """Tell whether a JSON value holds half of a character, which no file can hold."""
    if isinstance(value, str):
        return not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return any(has_surrogate(key) or has_surrogate(item) for key, item in value.items())
    return isinstance(value, list) and any(map(has_surrogate, value))


def _read_either(text: str, types: frozenset[str], schema: Schema | None, root: Schema) -> Any:
    value = _strict_value(text, types)
    if value is _NOTHING:
        return text
    if isinstance(value, str):
        return text if _reads_as_itself(value, types) else value
    return fit(value, schema, root)


def _reads_as_itself(text: str, types: frozenset[str]) -> bool:
    """Tell whether a string, written as it is, is read as that string."""
    if "string" not in types or types == {"string"}:
        return True
    value = _strict_value(text, types)
    return value is _NOTHING or (isinstance(value, str) and _reads_as_itself(value, types))


def _strict_value(text: str, types: frozenset[str]) -> Any:
    """Return the value that a text is the JSON of, if it is one of an allowed type.

    A number has to be written as JSON writes it: `1.10` and `007` are not numbers here, for they
    would come back as others.
    """
    try:
        value = parse_json(text.strip())
    except NotJsonError:
        return _NOTHING
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and json.dumps(value) != text.strip():
        return _NOTHING
    if isinstance(value, str) and text != text.strip():
        return _NOTHING
    return value if _allowed(value, types) else _NOTHING


class _Nothing:
    """Marks that a text could not be read."""


_NOTHING = _Nothing()


def _allowed(value: Any, types: frozenset[str]) -> bool:
    found = _JSON_TYPES[type(value)]
    return found in types or (found == "integer" and "number" in types)


def _as_integer(value: Any, types: frozenset[str]) -> Any:
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole and "integer" in types and "number" not in types else value


def _fit(value: Any, schema: Schema | None, root: Schema, depth: int) -> Any:
    if schema is None or depth == 0:
        return value
    if isinstance(value, str):
        types = types_of(schema, root)
        return value if "string" in types else coerce(value, schema, root)
    schema = _followed(schema, root, depth)
    if isinstance(value, dict) and isinstance(properties := schema.get("properties"), Mapping):
        return {
            key: _fit(item, properties.get(key), root, depth - 1) for key, item in value.items()
        }
    if isinstance(value, list) and isinstance(items := schema.get("items"), Mapping):
        return [_fit(item, items, root, depth - 1) for item in value]
    return value


def _followed(schema: Schema, root: Schema, depth: int) -> Schema:
    while depth and isinstance(reference := schema.get("$ref"), str):
        schema, depth = _resolve(reference, root) or {}, depth - 1
    return schema


def _plain(node: ast.expr, source: str) -> Any:
    """Return the value of a Python literal that JSON could say too; raise `NotJsonError`."""
    match node:
        case ast.Constant(value=str() | bool() | int() | float() | None as value):
            # No prefixes, no strings side by side, no other bases: JSON has none of them.
            if _LITERAL.fullmatch(ast.get_source_segment(source, node) or ""):
                return _finite(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            if not isinstance(value, bool):
                return -_plain(node.operand, source)
        case ast.List(elts=items):
            return [_plain(item, source) for item in items]
        case ast.Dict(keys=keys, values=items):
            names = [None if key is None else _plain(key, source) for key in keys]
            if all(isinstance(name, str) for name in names):
                values = [_plain(item, source) for item in items]
                return _pairs([(str(name), item) for name, item in zip(names, values, strict=True)])
        case _:
            pass
    raise NotJsonError("this is no JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise NotJsonError("a number is too large")
    return value


def _types(schema: Schema, root: Schema, depth: int) -> Iterator[str]:
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
        branches = schema.get(keyword)
        for branch in branches if isinstance(branches, Sequence) else ():
            if isinstance(branch, Mapping):
                yield from _types(branch, root, depth - 1)
    if declared is None:
        values = [*(schema.get("enum") or ()), *([schema["const"]] if "const" in schema else [])]
        yield from (_JSON_TYPES[type(value)] for value in values if type(value) in _JSON_TYPES)


def _resolve(reference: str, root: Schema) -> Schema | None:
    if not reference.startswith("#/"):
        return None
    target: Any = root
    for step in reference.removeprefix("#/").split("/"):
        if not isinstance(target, Mapping):
            return None
        target = target.get(step.replace("~1", "/").replace("~0", "~"))
    return target if isinstance(target, Mapping) else None
