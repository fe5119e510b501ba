import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import ToolCallPart

from punie.agent.nearest_call import closest_tool, nearest_arguments
from punie.agent.toolset import BrokenCall, read_call
from punie.tools.catalog import ALL_TOOLS
from punie.tools.parameters import argument_schema

TOOLS = {tool.name: tool for tool in ALL_TOOLS}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("grep", "search"),
        ("bash", "run_command"),
        ("pytest", "run_tests"),
        ("mypy", "check_types"),
        ("ruff", "lint"),
        ("black", "format"),
        ("ls", "list_dir"),
        ("Read-File", "read_file"),
        ("readfile", "read_file"),
        ("functions.read_file", "read_file"),
        ("glob", "find_files"),
        ("str_replace", "edit_file"),
        ("rename_file", "move"),
        ("serch", "search"),
        ("zzz", None),
    ],
)
def test_the_closest_tool(name: str, meant: str | None) -> None:
    tool = closest_tool(name, ALL_TOOLS)
    assert (tool and tool.name) == meant


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        (
            "grep",
            {"query": "x"},
            "there is no tool 'grep'; use search: the nearest valid call is "
            'search {"pattern": "x"}',
        ),
        ("grep", {}, "there is no tool 'grep'; use search: valid arguments are pattern (string), "),
        ("zzz", {}, "there is no tool 'zzz'; the tools are read_file, list_dir, "),
        (
            "read_file",
            {"file_path": "a.py"},
            "read_file: path is missing, file_path is not an argument; the nearest valid call is "
            'read_file {"path": "a.py"}',
        ),
        (
            "read_file",
            {"path": "a", "start": 3, "banana": 2},
            "read_file: start is not an argument, banana is not an argument; the nearest valid "
            'call is read_file {"path": "a", "start_line": 3}',
        ),
        (
            "edit_file",
            {"path": "a", "old_string": "x", "new_string": "y"},
            "edit_file: edits is missing, old_string is not an argument, new_string is not an "
            "argument; the nearest valid call is "
            'edit_file {"path": "a", "edits": [{"old_text": "x", "new_text": "y"}]}',
        ),
        (
            "edit_file",
            {"path": "a", "edits": {"old_text": "x", "new_text": "y"}},
            "edit_file: edits: input should be a valid list; the nearest valid call is "
            'edit_file {"path": "a", "edits": [{"old_text": "x", "new_text": "y"}]}',
        ),
        ("read_file", {}, "read_file: path is missing; valid arguments are path (string), "),
        (
            "read_file",
            {"path": "a", "start_line": "three"},
            "read_file: start_line: input should be a valid integer, unable to parse string as an "
            "integer; valid arguments are path (string), ",
        ),
    ],
)
def test_a_mistake_comes_back_with_the_nearest_valid_call(
    tool: str, arguments: dict[str, Any], said: str
) -> None:
    call = read_call(ToolCallPart(tool, arguments), ALL_TOOLS)
    assert isinstance(call, BrokenCall)
    assert call.result.startswith(f"error: {said}")
    assert "\n" not in call.result


def test_long_values_are_cut_in_what_is_shown() -> None:
    call = read_call(ToolCallPart("write_file", {"file": "a", "content": "x\n" * 500}), ALL_TOOLS)
    assert isinstance(call, BrokenCall)
    assert len(call.result) < 300
    assert call.result.endswith('…"}')


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["path", "file", "edits", "old_text", "new", "pattern", "query", "patch", "id"]
)


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(TOOLS)),
    given_=st.dictionaries(_NAMES | st.text(max_size=6), _VALUES, max_size=4),
)
def test_what_is_shown_as_valid_is_valid(name: str, given_: dict[str, Any]) -> None:
    tool = TOOLS[name]
    found = nearest_arguments(tool, argument_schema(tool.arguments), given_)
    if found is not None:
        tool.arguments.model_validate(json.loads(json.dumps(found)))
