"""Functions of BFCL as tools."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suites.external.bfcl_scoring import CodeLanguage, Described, called_name
from punie.tools.base import AnyTool, Tool, ToolContext, ToolResult
from punie.tools.mcp.arguments import JsonArguments
from punie.tools.presentation import Presentation

CallFunction = Callable[[str, Mapping[str, Any]], Awaitable[str]]
"""Calls a function by BFCL's name for it and returns its result; raises `ToolError`."""

_LANGUAGES: Mapping[CodeLanguage, str] = {
    "python": "Python 3",
    "java": "Java 8",
    "javascript": "JavaScript",
}
# As BFCL does for models that take JSON schemas (`GORILLA_TO_OPENAPI` in its type_mappings.py).
_JSON_TYPES = {
    **dict.fromkeys(("integer", "byte", "short", "long", "Bigint"), "integer"),
    **dict.fromkeys(("number", "float", "double"), "number"),
    **dict.fromkeys(("boolean", "bool", "Boolean"), "boolean"),
    **dict.fromkeys(("array", "list", "tuple", "ArrayList", "Array", "Queue", "Stack"), "array"),
    **dict.fromkeys(("dict", "object", "HashMap", "Hashtable"), "object"),
}


async def recorded(name: str, arguments: Mapping[str, Any]) -> str:
    """Do nothing: that the call was made is all that counts."""
    return "recorded"


def function_tools(
    functions: Sequence[Described], language: CodeLanguage, call: CallFunction = recorded
) -> tuple[AnyTool, ...]:
    """Return functions as tools, in their order, whose calls are done by `call`.

    Raises:
        EvaluationError: a function is not described as it should be.
    """
    found: dict[str, AnyTool] = {}
    for described in functions:
        try:
            tool = _tool(described, language, call)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise EvaluationError(
                f"The description of the function {described.get('name', '…')!r:.80} is broken."
            ) from error
        # The scorer takes the first of two that have one name.
        found.setdefault(tool.name, tool)
    return tuple(found.values())


def _tool(described: Described, language: CodeLanguage, call: CallFunction) -> AnyTool:
    name = called_name(described["name"])

    async def present(context: ToolContext, arguments: JsonArguments) -> Presentation:
        return Presentation(title=name, kind="other")

    async def run(context: ToolContext, arguments: JsonArguments) -> ToolResult:
        result = await call(described["name"], arguments.values)
        return ToolResult(result, await present(context, arguments))

    return Tool(
        name=name,
        description=f"{described['description']} (a function in {_LANGUAGES[language]})",
        arguments=JsonArguments,
        # It changes nothing outside of the question, so nobody is asked.
        effect="read",
        present=present,
        run=run,
        parameters=_parameters(described["parameters"], language),
    )


def _parameters(described: Described, language: CodeLanguage) -> dict[str, Any]:
    shape = _schema if language == "python" else _literal_schema
    properties = {
        name: shape(each, language) for name, each in described.get("properties", {}).items()
    }
    required = [name for name in described.get("required", ()) if name in properties]
    found: dict[str, Any] = {"type": "object", "properties": properties}
    return {**found, "required": required} if required else found


def _schema(described: Described, language: CodeLanguage) -> dict[str, Any]:
    """Return the JSON schema of a value; what has no type that JSON knows is a string."""
    kind = _JSON_TYPES.get(described.get("type", "string"), "string")
    found: dict[str, Any] = {"type": kind}
    for key in ("description", "enum", "default"):
        if key in described:
            found[key] = described[key]
    if kind == "object" and isinstance(described.get("properties"), Mapping):
        found |= _parameters(described, language)
    if kind == "array" and isinstance(described.get("items"), Mapping):
        found["items"] = _schema(described["items"], language)
    return found


def _literal_schema(described: Described, language: CodeLanguage) -> dict[str, Any]:
    """Return the schema of an argument that is to be written as a literal of the language."""
    kind = described.get("type", "any")
    says = [str(described.get("description", ""))]
    says.append(f"Write it as {_LANGUAGES[language]} source in a string; its type is {kind}.")
    if "items" in described:
        says.append(f"Its elements are of type {described['items'].get('type', 'any')}.")
    if "properties" in described:
        says.append(f"Its entries are {json.dumps(described['properties'])}.")
    found: dict[str, Any] = {"type": "string", "description": " ".join(filter(None, says))}
    return {**found, "default": described["default"]} if "default" in described else found
