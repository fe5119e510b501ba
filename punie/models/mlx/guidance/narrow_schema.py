"""A JSON schema made narrower where it says nothing and a model that takes the freedom errs.

Every value of the narrower schema is one of the wider: objects have the properties that are listed
and no others, numbers are written out, so that none is infinite.
"""

import json
from collections.abc import Mapping
from typing import Any

_LARGEST = 1e15
"""Of numbers without bounds; beyond it not every whole number is one that a float can hold."""

_NUMBER = {"minimum": -_LARGEST, "maximum": _LARGEST}
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_LISTED = frozenset({"enum", "const"})
_ABOUT_OTHERS = frozenset({"additionalProperties", "patternProperties", "unevaluatedProperties"})
_ABOUT_ITEMS = frozenset({"items", "prefixItems", "contains", "unevaluatedItems"})
_SAYS_NOTHING = frozenset({"title", "description", "default", "examples", "$defs", "definitions"})
_BY_NAME = frozenset({"properties", "patternProperties", "$defs", "definitions"})

_ANY_NAME = "any-value"
_ANY = {"$ref": f"#/$defs/{_ANY_NAME}"}
_ANY_SCHEMA: dict[str, Any] = {
    "anyOf": [
        *({"type": name} for name in ("string", "boolean", "null")),
        {"type": "number", **_NUMBER},
        {"type": "array", "items": _ANY},
        {"type": "object", "additionalProperties": _ANY},
    ]
}


def narrowed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the narrower schema; one whose parts join in an object is returned as it is."""
    if _joins(schema):
        return dict(schema)
    result: dict[str, Any] = _narrowed(schema)
    if _ANY["$ref"] not in json.dumps(result):
        return result
    return {**result, "$defs": {**result.get("$defs", {}), _ANY_NAME: _ANY_SCHEMA}}


def _narrowed(schema: Any) -> Any:
    if schema is True or (isinstance(schema, Mapping) and schema.keys() <= _SAYS_NOTHING):
        kept = schema if isinstance(schema, Mapping) else {}
        return {**kept, **_ANY}
    if not isinstance(schema, Mapping):
        return schema
    result = {key: _narrowed_part(key, value) for key, value in schema.items()}
    declared = schema.get("type")
    types = (declared,) if isinstance(declared, str) else tuple(declared or ())
    if _LISTED & schema.keys():
        return result
    if "number" in types and not _BOUNDS & schema.keys():
        result.update(_NUMBER)
    if "array" in types and not _ABOUT_ITEMS & schema.keys():
        result["items"] = _ANY
    if "object" in types and not _ABOUT_OTHERS & schema.keys():
        result["additionalProperties"] = False if schema.get("properties") else _ANY
    return result


def _narrowed_part(key: str, value: Any) -> Any:
    if key in _BY_NAME and isinstance(value, Mapping):
        return {name: _narrowed(item) for name, item in value.items()}
    if key in ("anyOf", "oneOf", "prefixItems") and isinstance(value, list):
        return [_narrowed(item) for item in value]
    return _narrowed(value) if key in ("items", "additionalProperties") else value


def _joins(schema: Any) -> bool:
    """Tell whether the properties of one object come from several schemas somewhere."""
    if isinstance(schema, list):
        return any(map(_joins, schema))
    if not isinstance(schema, Mapping):
        return False
    parts = {"anyOf", "oneOf", "$ref", "if"} & schema.keys()
    if "allOf" in schema or ("properties" in schema and parts):
        return True
    return any(map(_joins, schema.values()))
