"""Schemas of servers become safe and small, and accept all that they accepted before."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from punie.tools.base import ToolError
from punie.tools.mcp.arguments import checked
from punie.tools.mcp.offers import MAX_PROMPT_CHARS, ToolOffer, prompt_room, select
from punie.tools.mcp.schemas import normalised, size, terser, without

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "long text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])


def keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from("abc")
    branches = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
            "properties": st.dictionaries(names, inner),
            "required": st.lists(names, unique=True),
            "additionalProperties": st.booleans() | inner,
            "patternProperties": st.just({"^a": {}}),
            "items": inner,
            "prefixItems": branches,
            "anyOf": branches,
            "oneOf": branches,
            "allOf": branches,
            "not": inner,
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "pattern": st.just("^(a+)+$"),
            "minLength": st.integers(0, 3),
            "maximum": st.integers(-2, 2),
            "maxItems": st.integers(0, 2),
            "uniqueItems": st.booleans(),
            "description": st.text(max_size=20),
            "default": VALUES,
            "$ref": st.sampled_from(["#/$defs/one", "#/$defs/loop", "#"]),
        },
    )


SCHEMAS: st.SearchStrategy[Any] = st.recursive(st.just({}), keywords, max_leaves=8)


@given(
    root=keywords(SCHEMAS),
    one=SCHEMAS,
    arguments=st.dictionaries(st.sampled_from("abc"), VALUES),
)
def test_nothing_is_refused_that_the_server_accepts(
    root: dict[str, Any], one: Any, arguments: dict[str, Any]
) -> None:
    loop = {"properties": {"a": {"$ref": "#/$defs/loop"}}}
    schema = {**root, "$defs": {"one": one, "loop": loop}}
    plain = normalised(schema)
    Draft202012Validator.check_schema(plain)
    assert "$ref" not in json.dumps(plain)
    try:
        accepted = Draft202012Validator(schema).is_valid(arguments)
    except RecursionError:
        return
    if accepted:
        for smaller in (plain, terser(plain, deepest=3), terser(plain, deepest=1)):
            assert Draft202012Validator(smaller).is_valid(arguments)
        assert checked(plain, arguments) == arguments


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "enum", "anyOf", "items", "$ref", "const", "x"]
            ),
            inner,
        )
    ),
)


@given(JUNK)
def test_any_junk_becomes_a_sound_schema(junk: Any) -> None:
    plain = normalised(junk)
    assert plain["type"] == "object"
    Draft202012Validator.check_schema(plain)


def test_references_cannot_blow_it_up() -> None:
    definitions = {
        f"d{n}": {"properties": {k: {"$ref": f"#/$defs/d{n + 1}"} for k in "abcdefgh"}}
        for n in range(20)
    }
    assert size(normalised({"$ref": "#/$defs/d0", "$defs": definitions})) < 60_000
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"properties": {"a": deep}}
    assert size(normalised(deep)) < 1_000


def test_remote_references_are_not_followed() -> None:
    schema = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}
    assert checked(normalised(schema), {"a": 1}) == {"a": 1}


def test_faults_are_named_and_slips_undone() -> None:
    schema = normalised(
        {
            "properties": {"path": {"type": "string"}, "lines": {"type": "array"}},
            "required": ["path"],
            "additionalProperties": False,
        }
    )
    assert checked(schema, {"path": "a", "lines": "[1, 2]"}) == {"path": "a", "lines": [1, 2]}
    assert checked(schema, {"path": "a", "lines": None}) == {"path": "a"}
    with pytest.raises(ToolError) as caught:
        checked(schema, {"file": "a"})
    assert str(caught.value) == (
        "path is missing, file is not an argument; "
        "valid arguments are path (string), lines (list of any, optional)"
    )
    with pytest.raises(ToolError, match="path: None is not of type"):
        checked(schema, {"path": None})


def test_a_property_can_be_taken_out() -> None:
    schema = normalised({"properties": {"a": {}, "b": {"type": "string"}}, "required": ["a", "b"]})
    assert without(schema, ["b", "c"]) == {
        "type": "object",
        "properties": {"a": {}},
        "required": ["a"],
    }


def offer(name: str, chars: int) -> ToolOffer:
    schema = normalised({"properties": {"p": {"type": "string", "description": "d" * 100}}})
    return ToolOffer(name, f"mcp__s__{name}", name, "d" * chars, schema)


def test_room_is_shared_and_what_fits_keeps_its_order() -> None:
    many = [offer(f"t{n}", 280) for n in range(100)]
    few = [offer("only", 280)]
    chosen_many, chosen_few = select([many, few], 5_000)
    assert [tool.offer for tool in chosen_few] == few
    kept = [tool.offer for tool in chosen_many]
    assert 5 < len(kept) < 100
    assert kept == [item for item in many if item in kept]
    # Alone, it is told in full; under pressure, with less detail.
    assert "description" in chosen_few[0].schema["properties"]["p"]
    assert "description" not in chosen_many[0].schema["properties"]["p"]
    assert select([], 100) == []
    assert select([[], many], 0) == [[], []]


def test_the_room_follows_the_window() -> None:
    assert prompt_room(None) == MAX_PROMPT_CHARS
    assert prompt_room(32_768) == 12_288
    assert prompt_room(10**6) == MAX_PROMPT_CHARS
    assert prompt_room(0) == 0
