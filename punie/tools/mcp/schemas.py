"""JSON schemas of MCP tools, made safe and small enough for a prompt.

What comes out is a plain schema without references, patterns and unknown keywords. It accepts all
that the server's own schema accepts, so it can be checked against before a call is made.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
_NUMBERS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
_BRANCHES = frozenset({"anyOf", "allOf"})
_DEEPEST = 5
_MOST_PROPERTIES = 60
_MOST_BRANCHES = 12
_MOST_VALUES = 60
_DESCRIPTION_CHARS = 160
_VALUE_CHARS = 400
# References can multiply a small schema into a giant one; this many pieces are made at most.
_MOST_NODES = 600


def normalised(schema: object) -> dict[str, Any]:
    """Return the schema of a tool's arguments: always of an object, and never raising."""
    root = schema if isinstance(schema, Mapping) else {}
    plain = _Normaliser(root).node(root, _DEEPEST)
    plain.pop("description", None)
    plain.pop("default", None)
    plain["type"] = "object"
    plain.setdefault("properties", {})
    return plain


def without(schema: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return an object's schema without some of its properties."""
    smaller = dict(schema)
    smaller["properties"] = {
        name: value for name, value in schema["properties"].items() if name not in names
    }
    required = [name for name in schema.get("required", ()) if name not in names]
    smaller.pop("required", None)
    if required:
        smaller["required"] = required
    return smaller


def terser(schema: Mapping[str, Any], *, deepest: int) -> dict[str, Any]:
    """Return the schema without descriptions, and with bare types below `deepest` levels."""
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("description", "default"):
            continue
        if key == "properties":
            if deepest > 0:
                result[key] = {
                    name: terser(item, deepest=deepest - 1) for name, item in value.items()
                }
        elif key == "items" or (key == "additionalProperties" and isinstance(value, dict)):
            if deepest > 0:
                result[key] = terser(value, deepest=deepest - 1)
        elif key in ("anyOf", "allOf"):
            if deepest > 0:
                result[key] = [terser(item, deepest=deepest - 1) for item in value]
        elif deepest > 0 or key in ("type", "enum"):
            result[key] = value
    return result


def size(schema: Mapping[str, Any]) -> int:
    """Return the characters that the schema takes in a prompt."""
    return len(json.dumps(schema, ensure_ascii=False, default=str))


class _Normaliser:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = _MOST_NODES

    def node(
        self, schema: object, depth: int, seen: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Return a schema that accepts at least what `schema` accepts."""
        self._nodes -= 1
        if not isinstance(schema, Mapping) or depth <= 0 or self._nodes <= 0:
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target = None if reference in seen else _resolve(reference, self._root)
            plain = self.node(target, depth, seen | {reference}) if target is not None else {}
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            extra = self.node(beside, depth, seen)
            if "properties" in extra:
                # Each side closes the object for its own properties only.
                plain.pop("additionalProperties", None)
                extra.pop("additionalProperties", None)
            return {**plain, **extra}
        result: dict[str, Any] = {}
        self._simple(schema, result)
        self._object(schema, result, depth, seen)
        self._array(schema, result, depth, seen)
        self._branches(schema, result, depth, seen)
        return result

    def _simple(self, schema: Mapping[str, Any], result: dict[str, Any]) -> None:
        declared = schema.get("type")
        if isinstance(declared, str) and declared in _TYPES:
            result["type"] = declared
        elif isinstance(declared, list):
            types = [item for item in declared if isinstance(item, str) and item in _TYPES]
            if types and len(types) == len(declared):
                result["type"] = types[0] if len(types) == 1 else types
        text = schema.get("description")
        if isinstance(text, str) and text.strip():
            result["description"] = shortened(text, _DESCRIPTION_CHARS)
        values = schema.get("enum")
        if isinstance(values, list) and 0 < len(values) <= _MOST_VALUES and _small(values):
            result["enum"] = values
        if "const" in schema and _small(schema["const"]):
            result["enum"] = [schema["const"]]
        if "default" in schema and schema["default"] is not None and _small(schema["default"]):
            result["default"] = schema["default"]
        for key in _NUMBERS:
            bound = schema.get(key)
            if _is_bound(bound, signed=key in ("minimum", "maximum")):
                result[key] = bound

    def _object(
        self, schema: Mapping[str, Any], result: dict[str, Any], depth: int, seen: frozenset[str]
    ) -> None:
        properties = schema.get("properties")
        closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        if isinstance(properties, Mapping):
            names = [name for name in properties if isinstance(name, str)]
            kept = names[:_MOST_PROPERTIES]
            closed = closed and len(kept) == len(properties)
            result["properties"] = {
                name: self.node(properties[name], depth - 1, seen) for name in kept
            }
            required = schema.get("required")
            if isinstance(required, list):
                known = [name for name in result["properties"] if name in required]
                if known:
                    result["required"] = known
        if closed:
            result["additionalProperties"] = False
        elif isinstance(schema.get("additionalProperties"), Mapping):
            inner = self.node(schema["additionalProperties"], depth - 1, seen)
            # Names that match a pattern have schemas of their own, and so have those left out.
            if (
                inner
                and "patternProperties" not in schema
                and (not isinstance(properties, Mapping) or len(properties) <= _MOST_PROPERTIES)
            ):
                result["additionalProperties"] = inner

    def _array(
        self, schema: Mapping[str, Any], result: dict[str, Any], depth: int, seen: frozenset[str]
    ) -> None:
        # With `prefixItems`, `items` speaks only of what follows them.
        if isinstance(schema.get("items"), Mapping) and "prefixItems" not in schema:
            result["items"] = self.node(schema["items"], depth - 1, seen)

    def _branches(
        self, schema: Mapping[str, Any], result: dict[str, Any], depth: int, seen: frozenset[str]
    ) -> None:
        # `oneOf` becomes `anyOf`: branches that were loosened could otherwise match twice.
        for key, ours in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
            branches = schema.get(key)
            if not isinstance(branches, list) or not 0 < len(branches) <= _MOST_BRANCHES:
                continue
            plain = [self.node(branch, depth - 1, seen) for branch in branches]
            if ours == "anyOf":
                if not all(plain):
                    continue  # a branch that accepts all makes the rest mean nothing
                null = {"type": "null"}
                real = [branch for branch in plain if branch != null]
                simple = len(real) == 1 and "type" in real[0] and not _BRANCHES & real[0].keys()
                if simple and result.keys() <= {"description", "default"}:
                    # Optional, as most schemas are written: the type says it in less space.
                    result.update({**real[0], **result})
                    if len(real) < len(plain):
                        _allow_null(result)
                    continue
            if ours not in result:
                result[ours] = plain


def _allow_null(schema: dict[str, Any]) -> None:
    declared = schema.get("type")
    if isinstance(declared, str):
        schema["type"] = [declared, "null"]
    elif isinstance(declared, list) and "null" not in declared:
        schema["type"] = [*declared, "null"]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]


def _is_bound(value: object, *, signed: bool) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) if signed else isinstance(value, int) and value >= 0


def _small(value: object) -> bool:
    try:
        return len(json.dumps(value)) <= _VALUE_CHARS
    except (TypeError, ValueError, RecursionError):
        return False


def shortened(text: str, limit: int) -> str:
    """Return a description as one paragraph of at most `limit` characters, ending at a word."""
    plain = " ".join(text.split())
    if len(plain) <= limit:
        return plain
    head = plain[: limit - 1]
    space = head.rfind(" ")
    return (head[:space] if space > limit // 2 else head) + "…"


def _resolve(reference: str, root: Mapping[str, Any]) -> object | None:
    """Return what a reference within the schema points to; others, remote ones too, are nothing."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    target: object = root
    for step in reference.removeprefix("#/").split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, Mapping) or key not in target:
            return None
        target = target[key]
    return target
