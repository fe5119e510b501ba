"""Arguments of MCP tools: checked against the server's schema, usual slips of models undone."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from pydantic import ConfigDict

from punie.tools.base import ToolArguments, ToolError
from punie.tools.shape import shape
from punie.tools.wording import cut

_MAX_NAMED_FAULTS = 3
_FAULT_CHARS = 160


class JsonArguments(ToolArguments):
    """Whatever JSON object the model wrote; `values` is all of it."""

    model_config = ConfigDict(extra="allow")

    @property
    def values(self) -> dict[str, Any]:
        """The arguments by name."""
        return dict(self.model_extra or {})


def checked(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as they are to be sent; raise `ToolError` saying what is wrong.

    `schema` comes from `punie.tools.mcp.schemas.normalised`.
    """
    validator = Draft202012Validator(dict(schema))
    faults = _faults(validator, given)
    if not faults:
        return dict(given)
    repaired = _repaired(schema, given, faults)
    if repaired is not None and not _faults(validator, repaired):
        return repaired
    said = [clause for fault in faults[:_MAX_NAMED_FAULTS] for clause in _clauses(fault)]
    if len(faults) > _MAX_NAMED_FAULTS:
        said.append(f"and {len(faults) - _MAX_NAMED_FAULTS} more")
    raise ToolError(f"{', '.join(said)}; {shape(schema)}")


def _faults(validator: Draft202012Validator, given: Mapping[str, Any]) -> list[ValidationError]:
    return sorted(validator.iter_errors(dict(given)), key=lambda fault: list(map(str, fault.path)))


def _repaired(
    schema: Mapping[str, Any], given: Mapping[str, Any], faults: list[ValidationError]
) -> dict[str, Any] | None:
    """Undo two habits of models: null for "not given", and text where another value belongs."""
    repaired = dict(given)
    for fault in faults:
        name = fault.path[0] if fault.path else None
        if not isinstance(name, str):
            return None
        value = repaired.get(name)
        if value is None:
            if name in schema.get("required", ()):
                return None
            repaired.pop(name, None)
        elif isinstance(value, str):
            try:
                repaired[name] = json.loads(value)
            except ValueError:
                return None
    return repaired


def _clauses(fault: ValidationError) -> list[str]:
    where = ".".join(str(step) for step in fault.path)
    prefix = f"{where}." if where else ""
    asked: Any = fault.validator_value
    instance: Any = fault.instance
    if fault.validator == "required":
        return [f"{prefix}{name} is missing" for name in asked if name not in instance]
    if fault.validator == "additionalProperties" and asked is False:
        known = fault.schema.get("properties", {}) if isinstance(fault.schema, Mapping) else {}
        return [f"{prefix}{name} is not an argument" for name in instance if name not in known]
    return [cut(f"{where or 'the arguments'}: {fault.message}", _FAULT_CHARS)]
