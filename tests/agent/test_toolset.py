import json

from jsonschema import Draft202012Validator

from punie.agent.toolset import tool_definitions
from punie.tools.catalog import ALL_TOOLS
from tests.agent.stage import Props


def test_schemas_are_short_and_valid() -> None:
    for definition in tool_definitions([*ALL_TOOLS, *Props().tools()]):
        schema = definition.parameters_json_schema
        Draft202012Validator.check_schema(schema)
        text = json.dumps(schema)
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        for noise in ("$ref", "$defs", '"title"', "anyOf", '"null"'):
            assert noise not in text, (definition.name, noise)


def test_schema_of_nested_and_optional_arguments() -> None:
    echo, note, _ = tool_definitions(Props().tools())
    assert echo.parameters_json_schema == {
        "additionalProperties": False,
        "properties": {
            "text": {"type": "string"},
            "times": {"default": 1, "type": "integer"},
            "suffix": {"type": "string"},
        },
        "required": ["text"],
        "type": "object",
    }
    assert note.parameters_json_schema["properties"]["changes"]["items"] == {
        "properties": {"old": {"type": "string"}, "new": {"type": "string"}},
        "required": ["old", "new"],
        "type": "object",
    }
