"""What a tool's arguments look like, in one line for a model that got them wrong."""

from collections.abc import Mapping
from typing import Any


def shape(schema: Mapping[str, Any]) -> str:
    """Return `valid arguments are …` for the JSON schema of a tool's arguments."""
    required = schema.get("required", [])
    fields = [
        f"{name} ({_type_name(field)}{'' if name in required else ', optional'})"
        for name, field in schema.get("properties", {}).items()
    ]
    return "valid arguments are " + (", ".join(fields) or "none")


def _type_name(schema: Mapping[str, Any]) -> str:
    declared = schema.get("type")
    if isinstance(declared, list):
        return " or ".join(declared)
    if declared == "array":
        items = schema.get("items", {})
        inner = ", ".join(items.get("properties", {}))
        return f"list of {{{inner}}}" if inner else f"list of {_type_name(items)}"
    return str(declared or "any")
