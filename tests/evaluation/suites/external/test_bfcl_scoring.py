"""The rules of BFCL's scorer, one by one."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.evaluation.suites.external.bfcl_scoring import (
    CodeLanguage,
    fault_of_call,
    fault_of_calls,
)
from punie.training.data.example import Function
from tests.evaluation.suites.external.checkouts import function

TYPES = {
    "city": {"type": "string"},
    "days": {"type": "integer"},
    "share": {"type": "float"},
    "exact": {"type": "boolean"},
    "names": {"type": "array", "items": {"type": "string"}},
    "sizes": {"type": "array", "items": {"type": "float"}},
    "where": {"type": "dict"},
    "rows": {"type": "array", "items": {"type": "dict"}},
    "pair": {"type": "tuple", "items": {"type": "integer"}},
    "other": {"type": "any"},
}


def is_right(name: str, value: Any, right: list[Any], language: CodeLanguage = "python") -> bool:
    described = function("find", TYPES)
    call = Function(name="find", arguments={name: value})
    return fault_of_call(described, {name: right}, call, language) == ""


@pytest.mark.parametrize(
    ("name", "value", "right", "expected"),
    [
        ("city", "new york, n.y.", ["New York, NY"], True),
        ("city", "New York", ["New York, NY", "New-York"], True),
        ("city", "it's", ['it"s'], True),
        ("city", "York", ["New York"], False),
        ("city", 5, ["5"], False),
        ("city", "x", [""], False),
        ("days", 3, [3], True),
        ("days", 3.0, [3], False),
        ("days", True, [1], False),
        ("days", "DAYS", ["DAYS"], True),
        ("days", "days", ["DAYS"], False),
        ("days", 3, ["DAYS"], False),
        ("share", 5, [5.0], True),
        ("share", 0.5, [0.25, 0.5], True),
        ("share", 5, [5], True),
        ("share", "0.5", [0.5], False),
        ("exact", True, ["", True], True),
        ("exact", 1, [True], False),
        ("names", ["a b", "C"], [["c"], ["A-B", "c"]], True),
        ("names", ["c", "a b"], [["a b", "c"]], False),
        ("names", ["a", 1], [["a", "1"]], False),
        ("names", "all_names", ["all_names"], True),
        ("names", [], ["", ["a"]], True),
        ("sizes", [1.0, 2.5], [[1.0, 2.5]], True),
        ("sizes", [1, 2], [[1.0, 2.0]], False),
        ("sizes", [1, 2], [[1, 2]], True),
        ("pair", [1, 2], [[1, 2]], True),
        ("where", {"x": "A b"}, [{"x": ["ab", "c"]}], True),
        ("where", {"x": "ab"}, [{"x": ["ab"], "y": [""]}], True),
        ("where", {"x": "ab"}, [{"x": ["ab"], "y": [1]}], False),
        ("where", {"x": "ab", "z": 1}, [{"x": ["ab"]}], False),
        ("where", {"x": 1}, ["", {"x": [2]}, {"x": [1]}], True),
        ("where", {"x": "ab"}, [{"x": "ab"}], False),
        ("rows", [{"x": 1}, {"x": 2}], [[{"x": [1]}, {"x": [2]}]], True),
        ("rows", [{"x": 2}, {"x": 1}], [[{"x": [1]}, {"x": [2]}]], False),
        ("rows", [{"x": 1}], [[{"x": [1]}, {"x": [2]}]], False),
        ("rows", [], ["", [{"x": [1]}]], True),
        ("other", "Any Thing", ["anything"], True),
        ("other", 7, [7], True),
    ],
)
def test_values(name: str, value: Any, right: list[Any], expected: bool) -> None:
    assert is_right(name, value, right) is expected


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"city": "Oslo"}, ""),
        ({"city": "Oslo", "days": 2}, ""),
        ({"days": 2}, "city is missing"),
        ({"city": "Oslo", "wind": 1}, "wind is not to be given"),
        ({"city": "Oslo", "share": 0.5}, "share is not to be given"),
        ({"city": "Rome"}, "city is 'Rome', and one of ['Oslo'] is due"),
    ],
)
def test_arguments(arguments: dict[str, Any], fault: str) -> None:
    described = function("weather.now", TYPES, "city")
    due = {"city": ["Oslo"], "days": ["", 2]}
    call = Function(name="weather_now", arguments=arguments)
    assert fault_of_call(described, due, call, "python") == fault


def test_an_argument_that_may_not_be_left_out_is_missed() -> None:
    described = function("find", TYPES)
    call = Function(name="find", arguments={})
    assert fault_of_call(described, {"days": [1]}, call, "python") == "days is missing"
    assert fault_of_call(described, {"days": ["", 1]}, call, "python") == ""
    assert "seek was called in place of find" in fault_of_call(
        described, {}, Function(name="seek", arguments={}), "python"
    )


def test_calls_may_come_in_any_order_but_none_too_many() -> None:
    functions = [function("go", TYPES, "city"), function("stay", TYPES)]
    due: list[dict[str, Any]]
    due = [{"go": {"city": ["Oslo"]}}, {"go": {"city": ["Rome"]}}, {"stay": {"days": [1]}}]
    oslo, rome = (Function(name="go", arguments={"city": city}) for city in ("Oslo", "Rome"))
    stay = Function(name="stay", arguments={"days": 1})
    assert fault_of_calls(functions, due, [stay, rome, oslo], "python") == ""
    assert fault_of_calls(functions, due, [oslo, rome], "python") == (
        "3 calls are due and 2 were made"
    )
    assert fault_of_calls(functions, due, [oslo, oslo, stay], "python").startswith(
        "no call is right for go: city is 'Oslo'"
    )
    assert fault_of_calls(functions, due[:1], [], "python") == "1 calls are due and 0 were made"


@pytest.mark.parametrize(
    ("kind", "element", "text", "right", "expected"),
    [
        ("integer", None, "42", [42], True),
        ("integer", None, "forty", ["forty"], True),
        ("long", None, "42L", [42], True),
        ("long", None, "42", [42], False),
        ("float", None, "1.5f", [1.5], True),
        ("float", None, "1.5", [1.5], False),
        ("double", None, "1.5e2", [150.0], True),
        ("boolean", None, "true", [True], True),
        ("boolean", None, "True", [True], False),
        ("String", None, "abc", ["ABC"], True),
        ("any", None, "new Point(1, 2)", ["new Point(1, 2)"], True),
        ("Array", "integer", "new int[]{1, 2}", [[1, 2]], True),
        ("Array", "integer", "new int[] { }", [[]], True),
        ("Array", "String", 'new String[]{"a"}', [["a"]], False),
        ("Array", "integer", "[1, 2]", [[1, 2]], False),
        (
            "ArrayList",
            "String",
            'new ArrayList<>(Arrays.asList("a, b", "c"))',
            [["a, b", "c"]],
            True,
        ),
        ("ArrayList", "integer", "new ArrayList<Integer>() {{ add(1); add(2); }}", [[1, 2]], True),
        ("ArrayList", "String", "new ArrayList<String>()", [[]], True),
        ("ArrayList", "String", "names", ["names"], True),
        ("HashMap", None, 'new HashMap<>() {{ put("n", 5); put("s", "x"); }}', "map", True),
        ("HashMap", None, 'new HashMap<String, Object>() {{put("n", 6L);}}', "map", False),
        ("HashMap", None, "new HashMap<>()", [{}], True),
    ],
)
def test_java_literals(
    kind: str, element: str | None, text: str, right: Any, expected: bool
) -> None:
    schema = {"type": kind, **({"items": {"type": element}} if element else {})}
    due = [{"n": [5], "s": ["x"]}] if right == "map" else right
    call = Function(name="f", arguments={"x": text})
    fault = fault_of_call(function("f", {"x": schema}), {"x": due}, call, "java")
    assert (fault == "") is expected


@pytest.mark.parametrize(
    ("kind", "element", "text", "right", "expected"),
    [
        ("String", None, "'abc'", ["abc"], True),
        ("String", None, "abc", ["abc"], True),
        ("integer", None, "-3", [-3], True),
        ("float", None, "3", [3.0], True),
        ("float", None, "three", [3.0], False),
        ("Bigint", None, "12n", [12], True),
        ("Boolean", None, "false", [False], True),
        ("array", "String", "['a b', \"c\"]", [["a b", "c"]], True),
        ("array", "float", "new Array(1.5, 2)", [[1.5, 2.0]], True),
        ("array", "integer", "[]", [[]], True),
        ("array", "array", "[[1, 2], [3, 4]]", [[[1, 2], [3, 4]]], True),
        ("array", "String", "['a'];", [["a"]], True),
        ("array", "String", "list", ["list"], True),
        ("dict", None, "{}", [{}], True),
        ("dict", None, "{'a': 1, \"b\": [1, 'x'], c: name}", "map", True),
        ("dict", None, "{'a': 1}", "map", False),
        ("any", None, "null", ["null"], True),
    ],
)
def test_javascript_literals(
    kind: str, element: str | None, text: str, right: Any, expected: bool
) -> None:
    schema = {"type": kind, **({"items": {"type": element}} if element else {})}
    due = [{"a": [1], "b": [[1, "x"]], "c": ["name"]}] if right == "map" else right
    call = Function(name="f", arguments={"x": text})
    fault = fault_of_call(function("f", {"x": schema}), {"x": due}, call, "javascript")
    assert (fault == "") is expected


def test_what_is_no_literal_is_wrong_there() -> None:
    call = Function(name="f", arguments={"x": 5})
    described = function("f", {"x": {"type": "integer"}})
    for language in ("java", "javascript"):
        assert fault_of_call(described, {"x": [5]}, call, language)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(JSON, st.lists(JSON, max_size=3), st.sampled_from(sorted(TYPES)))
def test_no_value_and_no_answer_stops_a_run(value: Any, right: list[Any], name: str) -> None:
    assert is_right(name, value, right) in (True, False)
    assert is_right(name, json.dumps(value), right, "java") in (True, False)
    assert is_right(name, json.dumps(value), right, "javascript") in (True, False)
