"""Tools become functions whose signatures say what the tools' schemas say."""

import ast
import inspect
import keyword
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict as ReturnedDict

from punie.tools.base import Returns, Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.catalog import ALL_TOOLS, UNATTENDED_TOOLS
from punie.tools.code.annotations import IMPORTS
from punie.tools.code.functions import Function, Library, library
from punie.tools.code.run_code import run_code_tool
from punie.tools.mcp.arguments import JsonArguments
from punie.tools.mcp.schemas import normalised
from punie.tools.parameters import parameters_schema
from punie.tools.presentation import Presentation
from tests.tools.mcp.test_schemas import SCHEMAS, VALUES, keywords


async def _present(context: ToolContext, arguments: Any) -> Presentation:
    return Presentation(title="x", kind="other")


async def _run(context: ToolContext, arguments: Any) -> ToolResult:
    raise ToolError("it is not run")


def tool(name: str, schema: Mapping[str, Any] | None = None, **more: Any) -> Tool[Any]:
    """A tool of an MCP server, or of ours with `arguments`."""
    arguments = more.pop("arguments", JsonArguments)
    description = more.pop("description", "Do it.")
    return Tool(name, description, arguments, "read", _present, _run, schema, **more)


def only(*tools: Tool[Any]) -> Function:
    (function,) = library(tools).functions
    return function


def executed(made: Library) -> dict[str, Any]:
    """Run both forms of the stubs as Python; return what the model's form defines."""
    exec(f"from __future__ import annotations\n{made.checked}", {})
    scope: dict[str, Any] = {}
    exec(f"{IMPORTS}{made.stubs}", scope)
    return scope


def json_type(written: Any) -> Any:
    """Return the JSON schema types of a Python type, to compare with a tool's schema."""
    origin = get_origin(written)
    if origin is Literal:
        return {"enum": list(get_args(written))}
    if origin is list or written is list:
        return "array"
    if origin is dict or written is dict or hasattr(written, "__total__"):
        return "object"
    return {str: "string", int: "integer", float: "number", bool: "boolean"}[written]


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_signatures_say_what_the_schemas_of_all_our_tools_say(tool: Tool[Any]) -> None:
    made = library(ALL_TOOLS)
    function = next(function for function in made.functions if function.tool is tool)
    schema = parameters_schema(tool)
    required = schema.get("required", ())
    scope = executed(made)
    written = scope[function.name]
    assert function.name == tool.name
    hints = get_type_hints(written, scope)
    parameters = inspect.signature(written).parameters
    assert set(parameters) == set(schema["properties"])
    for name, parameter in parameters.items():
        declared = schema["properties"][name]
        assert (parameter.default is inspect.Parameter.empty) == (name in required)
        if name not in required:
            assert parameter.default in (declared.get("default"), ...)
        found = json_type(hints[name])
        assert found == ({"enum": declared["enum"]} if "enum" in declared else declared["type"])
        described = declared.get("description", "")
        assert described.rstrip(".") in (written.__doc__ or "")
        inner = declared.get("items", {}).get("properties")
        if inner:
            fields = get_type_hints(get_args(hints[name])[0], scope, include_extras=True)
            assert set(fields) == set(inner)
            optional = {key for key in fields if get_origin(fields[key]) is NotRequired}
            assert optional == set(inner) - set(declared["items"].get("required", ()))
    described = tool.returns or tool
    assert written.__doc__.startswith(described.description)
    if tool.returns is None:
        assert hints["return"] is str
    else:
        made_of = TypeAdapter(tool.returns.type).json_schema()
        assert json_type(hints["return"]) == made_of["type"]


def test_all_of_it_is_what_the_model_reads_and_nothing_else_is() -> None:
    description = run_code_tool(ALL_TOOLS).description
    for function in library(ALL_TOOLS).functions:
        assert f"\ndef {function.signature}:" in description
    assert "ask_user" not in run_code_tool(UNATTENDED_TOOLS).description
    assert description == run_code_tool(ALL_TOOLS).description


class Found(ReturnedDict):
    path: str
    inside: list["Found"]


def test_types_of_results_may_speak_of_themselves() -> None:
    made = library([tool("tree", {"properties": {}}, returns=Returns(list[Found], "All of it."))])
    assert made.classes == ("class Found(TypedDict): path: str; inside: list[Found]",)
    assert made.functions[0].stub == 'def tree() -> list[Found]: "All of it."'
    ast.parse(made.checked)


def test_names_that_are_none_in_python() -> None:
    names = ["do-thing", "do_thing", "2fast", "class", "str", "", "日本", "mcp__a__b.c", "format"]
    made = library([tool(name, {"properties": {}}) for name in names])
    assert [function.name for function in made.functions] == [
        "do_thing", "do_thing_2", "_2fast", "class_", "str_", "tool", "tool_2", "mcp__a__b_c",
        "format",
    ]  # fmt: skip
    schema = {
        "properties": {"from": {"type": "string"}, "a-b": {"type": "integer"}, "a b": {}},
        "required": ["from"],
    }
    function = only(tool("send", schema))
    assert function.signature == "send(from_: str, a_b: int = None, a_b_2: Any = None) -> str"
    assert function.arguments(("x", 1), {"a_b_2": 2}) == {"from": "x", "a-b": 1, "a b": 2}


def test_types_by_schema() -> None:
    item = {"type": "object", "properties": {"x-y": {"type": "integer"}}, "required": ["x-y"]}
    properties = {
        "a": {"type": ["string", "null"]},
        "b": {"enum": ["x", "y\n", None]},
        "c": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "number"}}]},
        "d": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "entries": {"type": "array", "items": item},
        "f": {"type": "object"},
        "g": {"const": 3},
        "h": {"allOf": [{"type": "string"}]},
        "i": {"enum": [1.5]},
    }
    made = library([tool("t", {"properties": properties, "required": [*properties]})])
    assert made.functions[0].signature == (
        "t(a: str | None, b: Literal['x', 'y\\n', None], c: int | list[float], "
        "d: dict[str, bool], entries: list[Entry], f: dict, g: Literal[3], h: str, i: Any) -> str"
    )
    assert made.classes == ("Entry = TypedDict('Entry', {'x-y': int})",)


def test_the_same_type_is_written_once_and_another_gets_a_number() -> None:
    one = {"type": "object", "properties": {"x": {"type": "string"}}}
    two = {"type": "object", "properties": {"y": {"type": "string"}}}
    schemas = [
        {"properties": {"items": {"type": "array", "items": one}}} for one in (one, one, two)
    ]
    made = library([tool(f"t{number}", schema) for number, schema in enumerate(schemas)])
    assert made.classes == (
        "class Item(TypedDict): x: NotRequired[str]",
        "class Item_2(TypedDict): y: NotRequired[str]",
    )
    kinds = [function.parameters[0].annotation for function in made.functions]
    assert kinds == ["list[Item]", "list[Item]", "list[Item_2]"]


HOSTILE = 'x"\n\ndef evil(): """ \\" \x00\u2028\ud800 \\'


@pytest.mark.parametrize("place", ["tool", "argument", "value", "default", "key"])
def test_nothing_that_a_server_says_gets_out_of_its_string(place: str) -> None:
    hostile = {name: HOSTILE if name == place else "fine" for name in
               ("tool", "argument", "value", "default", "key")}  # fmt: skip
    schema = {
        "properties": {
            "a": {
                "type": "object",
                "description": hostile["argument"],
                "properties": {hostile["key"]: {"enum": [hostile["value"]]}},
            },
            "b": {"type": "string", "default": hostile["default"]},
        }
    }
    made = library([tool("t", schema, description=hostile["tool"])])
    for source in (made.stubs, made.checked):
        tree = ast.parse(source)
        assert "evil" not in {getattr(node, "name", None) for node in ast.walk(tree)}
        lines = source.rstrip("\n").splitlines()
        assert len(lines) == len(made.classes) + (1 if source == made.stubs else 3)
        assert source.encode()


class Plain(ToolArguments):
    first: str
    second: int = 3
    third: list[str] | None = Field(default=None, description="More of it.")


PLAIN = only(tool("plain", arguments=Plain))


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (("a",), {}, {"first": "a"}),
        (("a", 1, ["b"]), {}, {"first": "a", "second": 1, "third": ["b"]}),
        ((), {"first": "a", "third": None}, {"first": "a"}),
        (("a", None), {}, {"first": "a"}),
        ((None,), {}, {"first": None}),
    ],
)
def test_calls_bind_as_in_python(args: Any, kwargs: Any, expected: Any) -> None:
    assert PLAIN.arguments(args, kwargs) == expected


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "plain() needs first; it is plain(first: str, second: int = 3"),
        (("a", 1, [], 4), {}, "plain() takes at most 3 arguments"),
        (("a",), {"first": "b"}, "plain() got 'first' twice"),
        (("a",), {"fourth": 1}, "plain() has no parameter 'fourth'"),
    ],
)
def test_calls_that_python_would_refuse(args: Any, kwargs: Any, said: str) -> None:
    with pytest.raises(TypeError) as raised:
        PLAIN.arguments(args, kwargs)
    assert str(raised.value).startswith(said)


def test_the_stub_of_a_tool() -> None:
    assert PLAIN.stub == (
        "def plain(first: str, second: int = 3, third: list[str] = None) -> str: "
        '"Do it. third: More of it."'
    )
    assert "third: list[str] | None = ..." in library([PLAIN.tool]).checked


NAMES = st.text(max_size=8) | st.sampled_from([*keyword.kwlist, "str", "list", "Any", "a-b", "a_b"])


@settings(max_examples=25)
@given(
    tools=st.lists(
        st.tuples(
            NAMES,
            st.fixed_dictionaries(
                {
                    "properties": st.dictionaries(NAMES, SCHEMAS | keywords(st.just({}))),
                    "required": st.lists(NAMES),
                    "$defs": st.just({"one": {"type": "string"}, "loop": {"$ref": "#/$defs/loop"}}),
                }
            ),
            st.text(max_size=20),
        ),
        max_size=3,
    )
)
@example(tools=[("__class__", {"properties": {"__x": {}, "self": {}}, "required": []}, '"')])
def test_any_tools_become_valid_python(tools: list[tuple[str, Any, str]]) -> None:
    made = library(
        [tool(name, normalised(schema), description=said) for name, schema, said in tools]
    )
    names = [function.name for function in made.functions]
    assert len(names) == len({*names}) == len(tools)
    scope = executed(made)
    for function in made.functions:
        schema = parameters_schema(function.tool)
        assert {p.key for p in function.parameters} == set(schema["properties"])
        signature = inspect.signature(scope[function.name])
        assert [*signature.parameters] == [p.name for p in function.parameters]
        for parameter in function.parameters:
            needed = parameter.key in schema.get("required", ())
            assert (parameter.default is None) == needed
        bound = {p.name: number for number, p in enumerate(function.parameters)}
        by_key = {p.key: number for number, p in enumerate(function.parameters)}
        assert function.arguments((), bound) == by_key
        assert function.arguments((*bound.values(),), {}) == by_key


@settings(max_examples=60)
@given(schema=SCHEMAS, value=VALUES)
def test_types_accept_all_that_the_schemas_accept(schema: Any, value: Any) -> None:
    plain = normalised({"properties": {"x": schema}, "required": ["x"]})
    made = library([tool("t", plain)])
    # pydantic wants the TypedDict of typing_extensions before Python 3.12.
    scope: dict[str, Any] = {
        "TypedDict": ReturnedDict, "Any": Any, "Literal": Literal, "NotRequired": NotRequired
    }  # fmt: skip
    for line in made.classes:
        exec(line, scope)
    if Draft202012Validator(plain).is_valid({"x": value}):
        kind = eval(made.functions[0].parameters[0].annotation, scope)
        TypeAdapter(kind).validate_python(value)
