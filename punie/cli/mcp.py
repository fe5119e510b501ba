"""`punie mcp`: the MCP servers that a session was given, and what came of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from punie.cli.help import run_typed, say
from punie.cli.stored import asked_session
from punie.sessions.store import SessionRecord
from punie.tools.mcp.report import MCP_META, ServerReport, decoded, state_line
from punie.tools.wording import one_line

_NAME_CHARS = 80


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 shown, 1 nothing to show, 2 wrong usage."""
    return run_typed(mcp, arguments, "mcp")


def mcp(
    session: Annotated[str | None, typer.Option(help="Beginning of a session id.")] = None,
    project: Annotated[
        Path | None, typer.Option(help="Folder of the project; usually the current one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of sessions and logs.")] = None,
) -> None:
    """Show the MCP servers and tools of a session, of the project's latest one if none is named."""
    _, record = asked_session(session, project, state_dir)
    try:
        reports = decoded(record.meta.get(MCP_META, []))
    except ValidationError:
        say("the MCP servers of this session were noted by another version of Punie.")
        raise typer.Exit(1) from None
    if as_json:
        servers = [report.model_dump(mode="json") for report in reports]
        print(json.dumps({"session": record.id, "cwd": record.cwd, "servers": servers}, indent=2))
    else:
        print("\n".join(_lines(record, reports)))


def _lines(record: SessionRecord, reports: Sequence[ServerReport]) -> list[str]:
    lines = [f"Session {record.id} in {record.cwd}"]
    if not reports:
        return [*lines, "It was given no MCP servers."]
    for report in reports:
        kind = f" ({report.transport})" if report.transport else ""
        lines.append(f"{one_line(report.name, _NAME_CHARS)}{kind}: {state_line(report)}")
        lines += [f"  {tool.id}{'' if tool.used else ' (not used)'}" for tool in report.tools]
    return lines
