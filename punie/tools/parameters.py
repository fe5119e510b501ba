"""JSON schemas of tools' arguments, as short as they can be for a prompt."""

from typing import Any

from punie.tools.base import AnyTool, ToolArguments

# Making a schema takes longer than all else before a model call.
_schemas: dict[type[ToolArguments], dict[str, Any]] = {}


def parameters_schema(tool: AnyTool) -> dict[str, Any]:
    """Return the JSON schema that says what calls of the tool look like."""
    given = tool.parameters
    return argument_schema(tool.arguments) if given is None else dict(given)


def argument_schema(arguments: type[ToolArguments]) -> dict[str, Any]:
    """Return a short JSON schema: no titles, references resolved, optional written as optional.

    It is made once and shared: do not change it.
    """
    if arguments not in _schemas:
        _schemas[arguments] = _made_short(arguments)
    return _schemas[arguments]


def _made_short(arguments: type[ToolArguments]) -> dict[str, Any]:
    schema = arguments.model_json_schema()
    definitions = schema.pop("$defs", {})
    simplified: dict[str, Any] = _simplify(schema, definitions)
    simplified.pop("description", None)  # the base class's docstring, not for the model
    simplified.setdefault("properties", {})
    return simplified


def _simplify(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_simplify(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = dict(definitions[str(node["$ref"]).rsplit("/", 1)[-1]])
        target.pop("description", None)
        return _simplify({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    options = node.get("anyOf")
    if isinstance(options, list):
        real = [option for option in options if option != {"type": "null"}]
        if len(real) == 1 and len(real) < len(options):
            rest = {k: v for k, v in node.items() if k not in ("anyOf", "default")}
            return _simplify({**real[0], **rest}, definitions)
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key == "title" and isinstance(value, str):
            continue
        if key == "properties" and isinstance(value, dict):
            result[key] = {name: _simplify(item, definitions) for name, item in value.items()}
        else:
            result[key] = _simplify(value, definitions)
    return result
