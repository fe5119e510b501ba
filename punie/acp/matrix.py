"""Writes the table of what is supported into docs/acp.md: python -m punie.acp.matrix [--check].

The rows' words are `punie.acp.matrix_rows`; whether a row is supported is read from the code.
"""

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, cast, get_args

from acp.agent.router import build_agent_router
from acp.interfaces import Agent

from punie.acp import matrix_rows as rows
from punie.acp.agent import PunieAgent
from punie.acp.handshake import ClientProfile, initialize_response
from punie.acp.transport import CANCEL_METHODS, UNROUTED_METHODS
from punie.acp.updates import SessionUpdate

PAGE = Path(__file__).parents[2] / "docs" / "acp.md"
BEGIN, END = "<!-- python -m punie.acp.matrix -->", "<!-- end of the matrix -->"

# How the code calls the client: the names in the SDK, or on our own way past it.
_CALLS = {
    "request_permission": "session/request_permission",
    "read_text_file": "fs/read_text_file",
    "write_text_file": "fs/write_text_file",
    "create_terminal": "terminal/create",
    "terminal_output": "terminal/output",
    "wait_for_terminal_exit": "terminal/wait_for_exit",
    "kill_terminal": "terminal/kill",
    "release_terminal": "terminal/release",
    "create_elicitation": "elicitation/create",
    "complete_elicitation": "elicitation/complete",
}
_FIELDS = {
    "reads_files": "fs.readTextFile",
    "writes_files": "fs.writeTextFile",
    "terminals": "terminal",
    "boolean_options": "session.configOptions.boolean",
    "notices": "session.notices",
    "compaction": "session.compaction",
    "elicitation_forms": "elicitation.form",
}


def served_methods() -> set[str]:
    """Return what a client can call: what the SDK finds a handler for, and our own routes."""
    agent = cast(Agent, PunieAgent)
    router = build_agent_router(agent, use_unstable_protocol=True)
    routes = [*router._requests.values(), *router._notifications.values()]
    routed = {route.method for route in routes if route.func is not None}
    return routed | UNROUTED_METHODS | CANCEL_METHODS


def called_methods() -> set[str]:
    """Return what this agent calls of the client, found in the source."""
    found = {_CALLS[name] for name in _attributes() & _CALLS.keys()}
    return found | (_texts() & {"session/update", "$/cancel_request"})


def sent_updates() -> set[str]:
    """Return the kinds of updates that are made somewhere."""
    kinds = {
        member.__name__: get_args(member.model_fields["session_update"].annotation)[0]
        for member in get_args(SessionUpdate)
    }
    return {kinds[name] for name in _called_names() & kinds.keys()}


def agent_capabilities() -> set[str]:
    """Return what `initialize` says that this agent can."""
    answer = initialize_response(ClientProfile()).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    return set(_offered(answer["agentCapabilities"]))


def used_client_capabilities() -> set[str]:
    """Return the capabilities of clients on which something depends."""
    return {_FIELDS[name] for name in _attributes() & _FIELDS.keys()}


def matrix() -> str:
    """Return the section as Markdown."""
    served, called = served_methods(), called_methods()
    parts = [
        _table("Methods that a client calls", rows.AGENT_METHODS, served),
        _table("Methods that Punie calls", rows.CLIENT_METHODS, called),
        _table("Kinds of `session/update`", rows.UPDATES, sent_updates()),
        _table("Capabilities of the agent", rows.AGENT_CAPABILITIES, agent_capabilities()),
        _table("Capabilities of the client", rows.CLIENT_CAPABILITIES, used_client_capabilities()),
        _table("Methods of the draft", rows.DRAFT, served | called),
    ]
    return "\n".join(parts)


def page_with_matrix(page: str) -> str:
    """Return the page with the section as it is now; raise `ValueError` without its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{matrix()}\n{END}{after}"


def main() -> int:
    """Write the page, or with --check only tell whether it is up to date."""
    parser = argparse.ArgumentParser(description="Write the matrix into docs/acp.md.")
    parser.add_argument("--check", action="store_true", help="only tell whether it is up to date")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    wanted = page_with_matrix(page)
    if not check:
        PAGE.write_text(wanted, encoding="utf-8")
    elif page != wanted:
        print(f"{PAGE} is not up to date; run python -m punie.acp.matrix", file=sys.stderr)
        return 1
    return 0


def _table(title: str, texts: Mapping[str, str], supported: Set[str]) -> str:
    lines = [
        f"| `{name}` | {'supported' if name in supported else 'not'} | {text} |"
        for name, text in texts.items()
    ]
    return "\n".join([f"### {title}", "", "| | | |", "| --- | --- | --- |", *lines, ""])


def _offered(value: Any, path: str = "") -> Iterator[str]:
    if value is True or value == {}:
        yield path
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _offered(member, f"{path}.{key}".lstrip("."))


def _nodes() -> Iterator[ast.AST]:
    own = {"matrix.py", "matrix_rows.py", "handshake.py"}
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        if path.name not in own:
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def _attributes() -> set[str]:
    return {node.attr for node in _nodes() if isinstance(node, ast.Attribute)}


def _called_names() -> set[str]:
    return {
        node.func.id
        for node in _nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def _texts() -> set[str]:
    return {
        node.value
        for node in _nodes()
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


if __name__ == "__main__":
    sys.exit(main())
