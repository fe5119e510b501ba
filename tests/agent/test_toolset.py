import json

from jsonschema import Draft202012Validator
from pydantic_ai.messages import ToolCallPart

from punie.agent.toolset import (
    MALFORMED,
    BrokenCall,
    call_presentation,
    read_call,
    tool_definitions,
)
from punie.tools.catalog import ALL_TOOLS
from tests.agent.stage import Props


def test_schemas_are_short_and_valid() -> None:
    for definition in tool_definitions([*ALL_TOOLS, *Props().tools()]):
        schema = definition.parameters_json_schema
        Draft202012Validator.check_schema(schema)
        text = json.dumps(schema)
        assert schema["type"] == "object"
        for noise in ("additionalProperties", "$ref", "$defs", '"title"', "anyOf", '"null"'):
            assert noise not in text, (definition.name, noise)


def test_schema_of_nested_and_optional_arguments() -> None:
    echo, note, _ = tool_definitions(Props().tools())
    assert echo.parameters_json_schema == {
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


def test_why_a_call_could_not_be_read_is_what_the_model_reads() -> None:
    details = {MALFORMED: "The tool call was cut off before its end; repeat it."}
    for name, known in (
        ("echo", "(echo: valid arguments are text (string), times (integer, optional), "),
        ("unknown", "(the tools are echo, note, wait)"),
    ):
        part = ToolCallPart(name, "malformed: <tool_call>", provider_details=details)
        call = read_call(part, Props().tools())
        assert isinstance(call, BrokenCall)
        assert call.result.startswith("error: The tool call was cut off before its end; repeat it.")
        assert known in call.result
        assert "<tool_call>" not in call.result


def test_a_long_title_shows_that_it_is_cut() -> None:
    title = call_presentation("write_file", {"path": "word " * 40}, None).title
    assert len(title) == 80
    assert title.endswith("…")
