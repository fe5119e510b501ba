import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import ToolCallPart

from punie.agent.nearest_call import closest_call, nearest_arguments
from punie.agent.toolset import BrokenCall, read_call
from punie.agent.usual_names import ARGUMENT_NAMES, IMPLIED, TOOL_NAMES
from punie.tools.catalog import ALL_TOOLS
from punie.tools.code.run_code import run_code_tool
from punie.tools.parameters import argument_schema, parameters_schema
from punie.tools.skills.tool import skill_tools
from punie.tools.web_fetch import WEB_FETCH
from tests.agent.test_instructions import SKILLS

TOOLS = {tool.name: tool for tool in ALL_TOOLS}


MORE = (*ALL_TOOLS, WEB_FETCH, run_code_tool(ALL_TOOLS))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Read-File", "read_file"),
        ("readfile", "read_file"),
        ("functions.read_file", "read_file"),
        ("serch", "search"),
        ("zzz", None),
        ("undo", None),
    ],
)
def test_the_closest_tool(name: str, meant: str | None) -> None:
    found = closest_call(name, {}, ALL_TOOLS)
    assert (found and found[0].name) == meant


@pytest.mark.parametrize(
    ("name", "arguments", "meant"),
    [
        ("Read", {"file_path": "a.py", "offset": 3}, 'read_file {"path": "a.py", "start_line": 3}'),
        ("view", {"filePath": "a.py"}, 'read_file {"path": "a.py"}'),
        ("get_file_text_by_path", {"pathInProject": "a.py"}, 'read_file {"path": "a.py"}'),
        (
            "read_file",
            {"target_file": "a.py", "startLine": 3, "endLine": 9},
            'read_file {"path": "a.py", "start_line": 3, "end_line": 9}',
        ),
        ("LS", {"path": "src", "ignore": []}, 'list_dir {"path": "src"}'),
        ("list_directory", {"directory": "src"}, 'list_dir {"path": "src"}'),
        ("Glob", {"pattern": "*.py"}, 'find_files {"pattern": "*.py"}'),
        ("find_files_by_name_keyword", {"nameKeyword": "x"}, 'find_files {"pattern": "x"}'),
        ("find", {"path": ".", "name": "*.py"}, 'find_files {"pattern": "*.py", "path": "."}'),
        (
            "Grep",
            {"pattern": "x", "include": "*.py", "output_mode": "content"},
            'search {"pattern": "x", "glob": "*.py"}',
        ),
        (
            "search_files",
            {"path": ".", "regex": "a+", "file_pattern": "*.py"},
            'search {"pattern": "a+", "path": ".", "glob": "*.py"}',
        ),
        ("search_in_files_by_text", {"searchText": "x"}, 'search {"pattern": "x"}'),
        (
            "Task",
            {"description": "short", "prompt": "look", "subagent_type": "x"},
            'explore {"task": "look"}',
        ),
        (
            "Edit",
            {"file_path": "a", "old_string": "x", "new_string": "y", "replace_all": True},
            'edit_file {"path": "a", "edits": [{"old_text": "x", "new_text": "y"}]}',
        ),
        (
            "MultiEdit",
            {"file_path": "a", "edits": [{"old_string": "x", "new_string": "y"}]},
            'edit_file {"path": "a", "edits": [{"old_text": "x", "new_text": "y"}]}',
        ),
        (
            "str_replace_based_edit_tool",
            {"command": "str_replace", "path": "a", "old_str": "x", "new_str": "y"},
            'edit_file {"path": "a", "edits": [{"old_text": "x", "new_text": "y"}]}',
        ),
        (
            "str_replace_based_edit_tool",
            {"command": "view", "path": "a"},
            'read_file {"path": "a"}',
        ),
        (
            "str_replace_based_edit_tool",
            {"command": "create", "path": "a", "file_text": "x"},
            'write_file {"path": "a", "content": "x"}',
        ),
        (
            "str_replace",
            {"path": "a", "search": "x", "replace": "y"},
            'edit_file {"path": "a", "edits": [{"old_text": "x", "new_text": "y"}]}',
        ),
        ("apply_diff", {"diff": "--- a"}, 'apply_patch {"patch": "--- a"}'),
        ("Write", {"file_path": "a", "content": "x"}, 'write_file {"path": "a", "content": "x"}'),
        ("create_new_file", {"path": "a", "text": "x"}, 'write_file {"path": "a", "content": "x"}'),
        ("mv", {"source": "a", "destination": "b"}, 'move {"path": "a", "to": "b"}'),
        ("rename", {"path": "a", "new_path": "b"}, 'move {"path": "a", "to": "b"}'),
        (
            "rename",
            {"symbol": "f", "new_name": "g", "file": "a.py"},
            'rename_symbol {"symbol": "f", "path": "a.py", "new_name": "g"}',
        ),
        (
            "rename_refactoring",
            {"symbolName": "f", "newName": "g"},
            'rename_symbol {"symbol": "f", "new_name": "g"}',
        ),
        ("rm", {"file": "a"}, 'delete {"path": "a"}'),
        (
            "Bash",
            {"command": "ls", "run_in_background": True, "description": "list"},
            'run_command {"command": "ls", "background": true}',
        ),
        ("run_shell_command", {"cmd": "ls"}, 'run_command {"command": "ls"}'),
        ("run_in_terminal", {"command": "ls"}, 'run_command {"command": "ls"}'),
        ("BashOutput", {"bash_id": "1"}, 'command_output {"id": "1"}'),
        ("KillShell", {"shell_id": "1"}, 'command_output {"id": "1", "stop": true}'),
        ("list_symbols", {"file": "a.py"}, 'symbols {"path": "a.py"}'),
        ("document_symbols", {"uri": "a.py"}, 'symbols {"path": "a.py"}'),
        ("workspaceSymbol", {"query": "f"}, 'symbols {"symbol": "f"}'),
        ("go_to_definition", {"name": "f"}, 'definition {"symbol": "f"}'),
        ("goToDefinition", {"symbol": "f"}, 'definition {"symbol": "f"}'),
        ("find_usages", {"identifier": "f"}, 'references {"symbol": "f"}'),
        ("findReferences", {"symbol": "f"}, 'references {"symbol": "f"}'),
        ("get_symbol_info", {"symbol_name": "f"}, 'hover {"symbol": "f"}'),
        ("ast_grep", {"pattern": "$X.get()"}, 'find_pattern {"pattern": "$X.get()"}'),
        (
            "insert_import",
            {"file": "a.py", "import": "import os"},
            'add_import {"path": "a.py", "statement": "import os"}',
        ),
        ("runTests", {"files": ["t.py"]}, 'run_tests {"paths": ["t.py"]}'),
        ("pytest", {"path": "t.py", "lf": True}, 'run_tests {"paths": ["t.py"], "failed": true}'),
        ("mypy", {"files": ["a.py"]}, 'check_types {"path": "a.py"}'),
        ("get_diagnostics", {"uri": "a.py"}, 'check_types {"path": "a.py"}'),
        ("read_lints", {"paths": ["a.py"]}, 'lint {"path": "a.py"}'),
        ("ruff", {"path": "a.py", "autofix": True}, 'lint {"path": "a.py", "fix": true}'),
        ("reformat_file", {"path": "a.py"}, 'format {"path": "a.py"}'),
        ("check_code", {"file": "a.py"}, 'validate {"path": "a.py"}'),
        ("git_status", {}, 'git {"command": "status"}'),
        ("git_diff_staged", {}, 'git {"command": "diff", "ref": "staged"}'),
        ("git_show", {"revision": "HEAD"}, 'git {"command": "show", "ref": "HEAD"}'),
        ("blame", {"file": "a.py"}, 'git {"command": "blame", "path": "a.py"}'),
        (
            "TodoWrite",
            {"todos": [{"content": "x", "status": "pending", "activeForm": "doing x"}]},
            'update_plan {"steps": [{"content": "x", "status": "pending"}]}',
        ),
        (
            "update_plan",
            {"plan": [{"step": "x", "status": "pending"}]},
            'update_plan {"steps": [{"content": "x", "status": "pending"}]}',
        ),
        (
            "ask_followup_question",
            {"question": "which?", "options": ["a", "b"]},
            'ask_user {"question": "which?", "choices": ["a", "b"]}',
        ),
        ("WebFetch", {"url": "http://a", "prompt": "x"}, 'web_fetch {"url": "http://a"}'),
        ("execute_python", {"script": "1"}, 'run_code {"code": "1"}'),
    ],
)
def test_a_call_as_other_agents_have_it(name: str, arguments: dict[str, Any], meant: str) -> None:
    call = read_call(ToolCallPart(name, arguments), MORE)
    assert isinstance(call, BrokenCall)
    assert call.result.endswith(f"the nearest valid call is {meant}")


def test_the_usual_names_are_of_tools_and_arguments_that_there_are() -> None:
    known = {tool.name for tool in (*MORE, *skill_tools(SKILLS))}
    assert set(TOOL_NAMES) == known
    assert not known & {name for names in TOOL_NAMES.values() for name in names}
    arguments = {
        name
        for tool in (*MORE, *skill_tools(SKILLS))
        for schema in _objects(parameters_schema(tool))
        for name in schema["properties"]
    }
    assert set(ARGUMENT_NAMES) <= arguments
    assert set(IMPLIED) <= {name for names in TOOL_NAMES.values() for name in names}


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for part in schema.values():
            yield from _objects(part)


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
