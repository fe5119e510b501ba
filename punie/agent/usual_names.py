"""What tools and arguments are usually called elsewhere, by what they are called here.

Names are compared without case, `_` and `-`, so that `MultiEdit` is `multi_edit`.
"""

from collections.abc import Mapping
from typing import Any

TOOL_NAMES: Mapping[str, tuple[str, ...]] = {
    "read_file": (
        "read", "view", "cat", "open", "open_file", "view_file", "read_text_file", "get_file",
        "get_file_contents", "get_file_text_by_path", "file_read", "head", "tail",
        "str_replace_based_edit_tool", "str_replace_editor",
    ),
    "list_dir": (
        "ls", "list", "dir", "tree", "list_files", "list_directory", "list_folder",
        "list_directory_tree", "directory_tree", "list_path",
    ),
    "find_files": (
        "glob", "find", "find_file", "find_path", "file_search", "search_files", "glob_files",
        "find_files_by_glob", "find_files_by_name_keyword",
    ),
    "search": (
        "grep", "rg", "ripgrep", "search_code", "search_text", "search_files", "grep_search",
        "code_search", "codebase_search", "semantic_search", "search_file_content",
        "search_for_pattern", "find_in_files", "search_in_files", "search_in_files_by_text",
        "search_in_files_by_regex", "text_search", "find",
    ),
    "explore": (
        "task", "agent", "new_task", "subagent", "sub_agent", "spawn_agent", "dispatch_agent",
        "delegate", "research", "codebase_investigator",
    ),
    "edit_file": (
        "edit", "replace", "update", "str_replace", "string_replace", "search_replace",
        "search_and_replace", "multi_edit", "multi_replace", "replace_in_file", "update_file",
        "modify_file", "replace_string_in_file", "replace_text_in_file", "edit_files",
        "insert_edit_into_file", "str_replace_editor", "str_replace_based_edit_tool",
    ),
    "apply_patch": ("patch", "diff", "apply_diff", "git_apply", "unified_diff"),
    "write_file": (
        "write", "create", "save", "create_file", "create_new_file", "new_file", "add_file",
        "save_file", "write_to_file", "write_text_file", "overwrite_file", "file_write",
        "str_replace_based_edit_tool", "str_replace_editor",
    ),
    "move": ("mv", "rename", "rename_file", "move_file", "move_path", "relocate"),
    "delete": (
        "rm", "remove", "unlink", "rmdir", "delete_file", "remove_file", "delete_path",
        "delete_directory", "delete_folder", "remove_directory", "trash",
    ),
    "run_command": (
        "bash", "shell", "sh", "zsh", "terminal", "console", "exec", "run", "execute", "command",
        "exec_command", "execute_command", "execute_bash", "execute_shell_command", "run_bash",
        "run_shell", "run_shell_command", "run_terminal_cmd", "run_terminal_command",
        "run_in_terminal", "execute_terminal_command", "local_shell", "shell_command", "cmd",
    ),
    "command_output": (
        "bash_output", "shell_output", "task_output", "terminal_output", "get_terminal_output",
        "read_terminal", "read_output", "get_output", "kill_command", "kill_bash", "kill_shell",
        "kill_terminal", "stop_command", "task_stop",
    ),
    "symbols": (
        "outline", "list_symbols", "get_symbols", "file_symbols", "document_symbols",
        "get_document_symbols", "get_symbols_overview", "workspace_symbols", "workspace_symbol",
        "find_symbol", "search_symbols", "symbol_search", "file_outline", "structure",
        "list_code_definition_names",
    ),
    "definition": (
        "goto_definition", "go_to_definition", "find_definition", "get_definition",
        "find_declaration", "goto_declaration", "definitions", "jump_to_definition",
    ),
    "references": (
        "find_references", "get_references", "find_usages", "list_usages", "usages", "find_uses",
        "go_to_references", "list_code_usages", "find_referencing_symbols", "callers",
        "find_callers", "incoming_calls",
    ),
    "hover": (
        "type_of", "get_type", "type_info", "signature", "docs", "doc", "get_hover", "lsp_hover",
        "get_symbol_info", "symbol_info", "quick_info", "documentation", "inspect",
    ),
    "find_pattern": (
        "ast_grep", "ast_search", "semgrep", "structural_search", "pattern_search", "find_code",
        "match_pattern", "code_pattern",
    ),
    "rename_symbol": (
        "rename", "rename_variable", "rename_function", "rename_class", "rename_method",
        "rename_refactoring", "refactor_rename", "refactor",
    ),
    "add_import": (
        "import", "insert_import", "auto_import", "import_symbol", "add_imports",
    ),
    "run_tests": (
        "pytest", "test", "tests", "run_test", "run_pytest", "unittest", "tox", "execute_tests",
        "run_unit_tests", "test_runner",
    ),
    "check_types": (
        "mypy", "pyright", "ty", "typecheck", "type_check", "type_checker", "diagnostics",
        "get_diagnostics", "lsp_diagnostics", "get_errors", "get_problems", "get_file_problems",
        "problems",
    ),
    "lint": (
        "ruff", "flake8", "pylint", "linter", "ruff_check", "lint_file", "read_lints", "run_linter",
        "lint_code", "fix_lint",
    ),
    "format": (
        "black", "formatter", "ruff_format", "format_file", "format_code", "format_document",
        "reformat", "reformat_file", "isort",
    ),
    "validate": (
        "validator", "validators", "validate_code", "validate_file", "code_check", "check_code",
        "check_project", "review",
    ),
    "git": (
        "git_command", "run_git", "vcs", "git_status", "git_diff", "git_log", "git_show",
        "git_blame", "git_diff_staged", "git_diff_unstaged", "get_changed_files", "blame",
        "file_history", "git_history",
    ),
    "update_plan": (
        "plan", "todo", "todos", "todo_write", "write_todos", "update_todo", "update_todos",
        "update_todo_list", "manage_todo_list", "create_plan", "set_plan", "todo_list",
    ),
    "ask_user": (
        "ask", "question", "ask_question", "ask_followup_question", "ask_user_question",
        "request_user_input", "clarify", "ask_human",
    ),
    "web_fetch": (
        "fetch", "fetch_url", "fetch_webpage", "http_get", "http_request", "open_url", "get_url",
        "read_url", "browse", "browser", "curl", "wget",
    ),
    "skill": ("skills", "use_skill", "load_skill", "read_skill", "activate_skill"),
    "run_code": (
        "code", "python", "run_python", "execute_code", "execute_python", "code_interpreter",
        "code_execution", "python_repl",
    ),
}  # fmt: skip
"""Names of tools elsewhere. One that means several tools here stands at each of them."""

IMPLIED: Mapping[str, Mapping[str, Any]] = {
    "git_status": {"command": "status"},
    "get_changed_files": {"command": "status"},
    "git_diff": {"command": "diff"},
    "git_diff_unstaged": {"command": "diff"},
    "git_diff_staged": {"command": "diff", "ref": "staged"},
    "git_log": {"command": "log"},
    "git_history": {"command": "log"},
    "file_history": {"command": "log"},
    "git_show": {"command": "show"},
    "git_blame": {"command": "blame"},
    "blame": {"command": "blame"},
    "kill_command": {"stop": True},
    "kill_bash": {"stop": True},
    "kill_shell": {"stop": True},
    "kill_terminal": {"stop": True},
    "stop_command": {"stop": True},
    "task_stop": {"stop": True},
    "fix_lint": {"fix": True},
}
"""Arguments that a tool's name elsewhere says already."""

ARGUMENT_NAMES: Mapping[str, tuple[str, ...]] = {
    "path": (
        "file", "file_path", "filename", "file_name", "absolute_path", "relative_path",
        "target_file", "target_directory", "path_in_project", "relative_workspace_path", "paths",
        "files", "dir", "directory", "dir_path", "directory_path", "folder", "folder_path",
        "source", "source_path", "src", "from", "old_path", "root", "cwd", "uri",
    ),
    "to": (
        "destination", "destination_path", "dest", "dst", "target", "target_path", "new_path",
        "new_name", "to_path",
    ),
    "pattern": (
        "query", "regex", "search", "search_text", "regex_pattern", "name_keyword",
        "glob_pattern", "substring_pattern", "text", "name", "glob", "q", "string", "keyword",
    ),
    "glob": ("include", "include_pattern", "file_pattern", "file_mask", "file_glob"),
    "context": ("context_lines", "lines_around", "-C"),
    "content": (
        "contents", "text", "file_text", "file_content", "new_content", "data", "code",
        "code_edit", "step", "title", "description", "task",
    ),
    "old_text": (
        "old_string", "old_str", "old", "search", "find", "old_content", "search_text", "original",
    ),
    "new_text": (
        "new_string", "new_str", "new", "replace", "replacement", "new_content", "replace_text",
        "updated",
    ),
    "edits": ("replacements", "changes", "edit"),
    "patch": ("diff", "input", "patch_text", "content"),
    "start_line": (
        "start", "offset", "from_line", "first_line", "line_start", "line",
    ),
    "end_line": ("end", "to_line", "last_line", "line_end"),
    "command": (
        "cmd", "command_line", "shell_command", "script", "shell", "input", "subcommand", "action",
        "operation",
    ),
    "timeout": ("timeout_seconds", "timeout_s", "seconds"),
    "background": ("run_in_background", "is_background", "detach"),
    "id": (
        "command_id", "terminal_id", "bash_id", "shell_id", "task_id", "process_id", "session_id",
    ),
    "stop": ("kill", "end", "terminate"),
    "url": ("uri", "link", "href", "address"),
    "paths": (
        "path", "tests", "test", "files", "file", "file_path", "test_path", "node_ids", "args",
        "target",
    ),
    "failed": ("last_failed", "lf", "failed_only", "only_failed", "rerun"),
    "fix": ("autofix", "auto_fix", "apply", "write"),
    "statement": ("import", "import_statement", "module", "name"),
    "new_name": ("to", "new", "name"),
    "symbol": ("symbol_name", "old_name", "identifier", "name", "name_path", "query"),
    "ref": ("revision", "commit", "rev", "sha", "hash", "range", "branch"),
    "steps": ("todos", "todo_list", "plan", "items", "tasks"),
    "task": ("prompt", "question", "objective", "instructions", "message", "query", "description"),
    "question": ("prompt", "message", "text", "query"),
    "choices": ("options", "answers", "suggestions", "follow_up"),
    "code": ("script", "source", "python", "program", "input"),
    "name": ("skill", "skill_name", "command"),
}  # fmt: skip
"""Names of arguments elsewhere, the likeliest first where a call has several of them."""
