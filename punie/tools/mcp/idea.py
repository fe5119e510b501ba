"""The MCP server of a JetBrains IDE: how it is reached, and which of its tools are taken.

Its entry starts the IDE's launcher, which may only wake the running IDE and exit. The server
itself listens on a local port, which the entry names together with a token.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from punie.tools.base import Effect
from punie.tools.mcp.servers import HttpServer, McpServer, SseServer, StdioServer
from punie.tools.presentation import ToolKind
from punie.tools.wording import one_line, visible

ROUTER_NOTE = (
    "it is in router mode, in which it does not tell what its tools do; "
    "turn that off in the IDE's MCP settings to have them"
)
PROJECT_ARGUMENT = "projectPath"

_SUBCOMMAND = "stdioMcpServer"
_PORT = "IJ_MCP_SERVER_PORT"
_TOKEN = "IJ_MCP_AUTH_TOKEN"
_PROJECT_HEADER = "IJ_MCP_SERVER_PROJECT_PATH"
_ROUTER_TOOL = "execute_tool"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class IdeTool:
    """One tool of the IDE in our words.

    `title` names arguments in braces; `plain` is used when one is not given. `effect` is
    `external` for all that changes something: what it would do cannot be shown before it is done.
    """

    title: str
    plain: str
    description: str
    kind: ToolKind
    effect: Effect = "external"


IDE_TOOLS: Mapping[str, IdeTool] = MappingProxyType(
    {
        "get_file_problems": IdeTool(
            "Find problems in {filePath}",
            "Find problems",
            "Errors and warnings that the IDE's inspections find in a file.",
            "read",
            "read",
        ),
        "lint_files": IdeTool(
            "Find problems in {file_paths}",
            "Find problems",
            "Errors and warnings that the IDE's inspections find in several files.",
            "read",
            "read",
        ),
        "search_symbol": IdeTool(
            "Search symbol {q}",
            "Search symbol",
            "Find where classes, functions and variables are defined, by name.",
            "search",
            "read",
        ),
        "get_symbol_info": IdeTool(
            "Look up symbol at {filePath}:{line}",
            "Look up symbol",
            "Declaration and documentation of the symbol at a place in a file.",
            "read",
            "read",
        ),
        "analyze_calls": IdeTool(
            "Analyze calls",
            "Analyze calls",
            "Who calls a function, and what it calls.",
            "search",
            "read",
        ),
        "rename_refactoring": IdeTool(
            "Rename {symbolName} to {newName}",
            "Rename symbol",
            "Rename a symbol and all its uses; better than editing each place.",
            "edit",
        ),
        "reformat_file": IdeTool(
            "Reformat {path}",
            "Reformat file",
            "Reformat a file by the project's code style.",
            "edit",
        ),
        "get_run_configurations": IdeTool(
            "List run configurations",
            "List run configurations",
            "Names of the IDE's run configurations.",
            "read",
            "read",
        ),
        "execute_run_configuration": IdeTool(
            "Run {configurationName}",
            "Run configuration",
            "Run one of the IDE's run configurations and return its output.",
            "execute",
        ),
        "build_project": IdeTool(
            "Build the project",
            "Build the project",
            "Build the project in the IDE and return what failed.",
            "execute",
        ),
    }
)
"""The tools worth their room in a prompt. Reading, editing and searching files is not among them:
our own tools do it through the IDE already."""


def is_ide(server: McpServer) -> bool:
    """Tell whether the entry is the one with which an IDE offers its own server."""
    return (
        isinstance(server, StdioServer)
        and _SUBCOMMAND in server.arguments
        and server.environment.get(_PORT, "").isdecimal()
    )


def local_servers(server: McpServer, project: str) -> tuple[McpServer, ...]:
    """Return the addresses at which the IDE itself answers, should its launcher not do so."""
    if not isinstance(server, StdioServer) or not is_ide(server):
        return ()
    base = f"http://127.0.0.1:{int(server.environment[_PORT])}"
    headers = {_PROJECT_HEADER: project}
    token = server.environment.get(_TOKEN)
    if token:
        headers |= {_TOKEN: token, "Authorization": f"Bearer {token}"}
    headers = {name: value for name, value in headers.items() if _is_header_value(value)}
    return (
        SseServer(server.name, f"{base}/sse", headers),
        HttpServer(server.name, f"{base}/stream", headers),
    )


def _is_header_value(value: str) -> bool:
    return value.isascii() and value.isprintable()


def is_router(tools: Sequence[str]) -> bool:
    """Tell whether the server hides its tools behind a single one that runs any of them."""
    return _ROUTER_TOOL in tools and not any(name in IDE_TOOLS for name in tools)


def ide_title(tool: IdeTool, arguments: Mapping[str, Any]) -> str:
    """Return what a call does, in a few words."""
    if any(not arguments.get(name) for name in _PLACEHOLDER.findall(tool.title)):
        return tool.plain
    return _PLACEHOLDER.sub(lambda match: _shown(arguments[match.group(1)]), tool.title)


def _shown(value: object) -> str:
    if isinstance(value, list) and value:
        more = f" and {len(value) - 1} more" if len(value) > 1 else ""
        return f"{_shown(value[0])}{more}"
    text = value if isinstance(value, str) else json.dumps(value)
    return one_line(visible(text), 80)
