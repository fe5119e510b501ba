"""From a wrong call to the nearest right one: what a model most likely meant.

Models have learned the names of other agents' tools and arguments; those are known here, and the
rest is told by likeness. Nothing is run on a guess: the right call is only shown.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from punie.tools.base import AnyTool

_SHOWN_CHARS = 60
_TOOLS: dict[str, tuple[str, ...]] = {
    "read_file": ("cat", "view", "view_file", "open", "open_file", "read", "get_file_contents"),
    "list_dir": ("ls", "list", "list_files", "list_directory", "dir", "tree"),
    "find_files": ("glob", "find", "file_search", "search_files", "find_file"),
    "search": (
        "grep",
        "rg",
        "ripgrep",
        "search_code",
        "search_text",
        "grep_search",
        "find_in_files",
    ),
    "edit_file": (
        "edit",
        "replace",
        "str_replace",
        "replace_in_file",
        "search_replace",
        "multi_edit",
    ),
    "apply_patch": ("patch", "apply_diff", "diff"),
    "write_file": ("write", "create", "create_file", "save_file", "new_file", "write_to_file"),
    "move": ("mv", "rename", "rename_file", "move_file"),
    "delete": ("rm", "remove", "delete_file", "remove_file", "unlink"),
    "run_command": ("bash", "shell", "sh", "terminal", "exec", "run", "execute", "execute_command"),
    "command_output": ("bash_output", "get_terminal_output", "kill_command", "kill_bash"),
    "run_tests": ("pytest", "test", "tests", "run_test", "run_pytest", "unittest", "tox"),
    "check_types": ("mypy", "pyright", "ty", "typecheck", "type_check", "diagnostics"),
    "lint": ("ruff", "flake8", "pylint", "linter", "ruff_check", "lint_file"),
    "format": ("black", "formatter", "ruff_format", "format_file", "format_code", "reformat"),
    "web_fetch": ("fetch", "fetch_url", "http_get", "open_url", "browse", "curl"),
    "symbols": ("outline", "document_symbols", "find_symbol", "workspace_symbols", "get_symbols"),
    "definition": ("goto_definition", "go_to_definition", "find_definition", "get_definition"),
    "references": ("find_references", "find_usages", "usages", "get_references"),
    "hover": ("type_of", "get_type", "signature", "docs"),
    "find_pattern": ("ast_grep", "semgrep", "structural_search", "find_code"),
    "add_import": ("insert_import", "import", "auto_import"),
    "rename_symbol": ("rename_variable", "rename_function", "refactor_rename", "refactor"),
    "update_plan": ("todo", "todo_write", "plan", "write_todos", "update_todo"),
    "ask_user": ("ask", "question", "ask_followup_question"),
}
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "path": (
        "file", "file_path", "filepath", "filename", "file_name", "absolute_path", "dir",
        "directory", "dir_path", "folder", "source", "src", "from", "old_path", "cwd",
    ),
    "to": ("destination", "dest", "dst", "target", "new_path", "new_name", "to_path"),
    "pattern": ("query", "text", "regex", "search", "name", "glob", "q", "string"),
    "glob": ("include", "file_pattern", "files", "file_glob"),
    "context": ("context_lines", "lines_around", "-C"),
    "content": ("contents", "text", "file_text", "file_content", "data", "code"),
    "old_text": ("old_string", "old_str", "old", "search", "find", "oldText", "old_content"),
    "new_text": ("new_string", "new_str", "new", "replace", "replacement", "newText"),
    "edits": ("replacements", "changes", "edit"),
    "patch": ("diff", "input", "patch_text", "patchText", "content"),
    "start_line": ("start", "offset", "from_line", "line", "first_line", "line_start", "startLine"),
    "end_line": ("end", "to_line", "last_line", "line_end", "endLine"),
    "command": ("cmd", "script", "command_line", "shell", "input"),
    "timeout": ("timeout_seconds", "timeout_s", "seconds"),
    "background": ("run_in_background", "is_background", "detach"),
    "id": ("command_id", "terminal_id", "bash_id", "shell_id", "process_id"),
    "stop": ("kill", "end", "terminate"),
    "url": ("uri", "link", "href", "address"),
    "paths": ("path", "tests", "test", "files", "file", "node_ids", "nodeids", "args", "target"),
    "failed": ("last_failed", "lf", "failed_only", "only_failed", "rerun"),
    "fix": ("autofix", "apply", "write"),
    "statement": ("import", "import_statement", "module", "name"),
    "new_name": ("to", "new", "newName", "name"),
    "symbol": ("name", "old_name", "identifier", "symbol_name", "query"),
    "question": ("text", "prompt", "message"),
}  # fmt: skip


def closest_tool(name: str, tools: Sequence[AnyTool]) -> AnyTool | None:
    """Return the tool that a wrong name most likely means, or None if none is like it."""
    by_name = {tool.name: tool for tool in tools}
    wanted = _plain(name.rpartition(".")[2].rpartition(":")[2])
    for tool in tools:
        if wanted in (_plain(known) for known in (tool.name, *_TOOLS.get(tool.name, ()))):
            return tool
    close = difflib.get_close_matches(wanted, [*by_name], n=1, cutoff=0.6)
    return by_name[close[0]] if close else None


def closest_argument(name: str, schema: Mapping[str, Any], taken: Mapping[str, Any]) -> str | None:
    """Return the argument that a wrong name most likely means, of those that are not given."""
    free: list[str] = [known for known in schema.get("properties", {}) if known not in taken]
    wanted = _plain(name)
    for known in free:
        if wanted in (_plain(other) for other in (known, *_ARGUMENTS.get(known, ()))):
            return known
    close = difflib.get_close_matches(wanted, free, n=1, cutoff=0.6)
    return close[0] if close else None


def nearest_arguments(
    tool: AnyTool, schema: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return arguments that are valid and close to the given ones, or None if none are found.

    Names are corrected, values that a list of objects should hold are put into one, single values
    where a list belongs too, and what has no place is left out.
    """
    properties: Mapping[str, Any] = schema.get("properties", {})
    found = {name: value for name, value in given.items() if name in properties}
    others = {name: value for name, value in given.items() if name not in properties}
    for name in list(others):
        right = closest_argument(name, schema, found)
        if right is not None:
            found[right] = others.pop(name)
    for name, shape in properties.items():
        if shape.get("type") != "array":
            continue
        item = shape.get("items", {})
        if name not in found and others:
            found[name] = [others]
            others = {}
        if name in found:
            found[name] = _listed(found[name], item)
    found = {name: found[name] for name in properties if name in found}
    try:
        tool.arguments.model_validate(found)
    except ValidationError:
        return None
    return found


def _listed(value: Any, item: Mapping[str, Any]) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if item.get("type") != "object":
        return values
    return [_renamed(each, item) if isinstance(each, dict) else each for each in values]


def _renamed(given: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    found = {name: value for name, value in given.items() if name in properties}
    for name, value in given.items():
        right = None if name in found else closest_argument(name, schema, found)
        if right is not None:
            found[right] = value
    return found


def shown_call(tool: AnyTool, arguments: Mapping[str, Any]) -> str:
    """Return a call as one line that a model can copy, with long values cut."""
    return f"{tool.name} {json.dumps(_cut(arguments), ensure_ascii=False)}"


def _cut(value: Any) -> Any:
    match value:
        case str():
            return value if len(value) <= _SHOWN_CHARS else value[: _SHOWN_CHARS - 1] + "…"
        case list():
            return [_cut(each) for each in value]
        case Mapping():
            return {name: _cut(each) for name, each in value.items()}
        case _:
            return value


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").casefold()
