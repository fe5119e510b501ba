"""MCP tools as tools of ours: checked arguments, a readable title, a result that fits."""

import json
from collections.abc import Mapping
from typing import Any

from punie.tools.base import AnyTool, Effect, Tool, ToolContext, ToolError, ToolResult
from punie.tools.mcp.arguments import JsonArguments, checked
from punie.tools.mcp.connection import Connection
from punie.tools.mcp.idea import IDE_TOOLS, PROJECT_ARGUMENT, ide_title
from punie.tools.mcp.offers import PromptTool, ToolOffer
from punie.tools.mcp.results import LongResults, for_person
from punie.tools.mcp.schemas import without
from punie.tools.presentation import Location, Presentation, TextContent, ToolKind
from punie.tools.wording import fenced, one_line, visible
from punie.workspace.base import Workspace, WorkspaceError

_TITLE_CHARS = 60
_SUBJECT_CHARS = 60
_ARGUMENTS_CHARS = 4_000
_MOST_LOCATIONS = 8
_LINE_ARGUMENTS = ("line", "lineNumber", "line_number", "startLine", "start_line")


def ide_offer(offer: ToolOffer) -> ToolOffer:
    """Return a tool of the IDE in our words; the project is ours to fill in."""
    ours = IDE_TOOLS[offer.name]
    return ToolOffer(
        name=offer.name,
        id=offer.id,
        title=ours.plain,
        description=ours.description,
        schema=without(offer.schema, (PROJECT_ARGUMENT,)),
        read_only=ours.effect == "read",
    )


def mcp_tool(connection: Connection, chosen: PromptTool, results: LongResults) -> AnyTool:
    """Return the tool for a turn; it calls the server through the connection."""
    offer = chosen.offer
    ours = IDE_TOOLS.get(offer.name) if connection.ide else None
    # What a server says of its own tools is a hint: it may change the picture, never the question.
    effect: Effect = ours.effect if ours is not None else "external"
    kind: ToolKind = ours.kind if ours is not None else _kind(offer)

    def title(arguments: Mapping[str, Any]) -> str:
        said = ide_title(ours, arguments) if ours is not None else _title(offer, arguments)
        return f"{one_line(connection.server.name, 30)}: {said}"

    async def present(context: ToolContext, arguments: JsonArguments) -> Presentation:
        values = checked(offer.schema, arguments.values)
        return Presentation(
            title=title(values),
            kind=kind,
            locations=await _locations(context.workspace, values),
            content=() if effect == "read" else _asked(offer, values),
        )

    async def run(context: ToolContext, arguments: JsonArguments) -> ToolResult:
        shown = await present(context, arguments)
        values = checked(offer.schema, arguments.values)
        if ours is not None:
            values[PROJECT_ARGUMENT] = str(context.workspace.roots[0])
        outcome = await connection.call(offer.name, values, context.progress)
        text = results.fit(outcome.text, context.limits.result_chars)
        if outcome.failed:
            raise ToolError(text)
        shown = shown.model_copy(update={"content": (for_person(text),)})
        return ToolResult(text, shown, data=outcome.text)

    return Tool(
        name=offer.id,
        description=chosen.description,
        arguments=JsonArguments,
        effect=effect,
        present=present,
        run=run,
        parameters=chosen.schema,
    )


def _kind(offer: ToolOffer) -> ToolKind:
    if not offer.read_only:
        return "other"
    return "search" if "search" in offer.name.lower() or "find" in offer.name.lower() else "read"


def _title(offer: ToolOffer, arguments: Mapping[str, Any]) -> str:
    name = one_line(visible(offer.title), _TITLE_CHARS)
    subject = next((value for value in arguments.values() if isinstance(value, str) and value), "")
    return f"{name} {one_line(visible(subject), _SUBJECT_CHARS)}" if subject.strip() else name


def _asked(offer: ToolOffer, values: Mapping[str, Any]) -> tuple[TextContent, ...]:
    """Return what a person has to know to allow the call: the tool's own name and all it gets."""
    text = visible(json.dumps(values, ensure_ascii=False, indent=1))
    if len(text) > _ARGUMENTS_CHARS:
        text = f"{text[:_ARGUMENTS_CHARS]}\n… {len(text) - _ARGUMENTS_CHARS} characters more"
    return (fenced(f"{offer.name} {text}"),)


async def _locations(workspace: Workspace, arguments: Mapping[str, Any]) -> tuple[Location, ...]:
    """Return the files of the workspace that the arguments name."""
    line = next(
        (arguments[name] for name in _LINE_ARGUMENTS if _is_line(arguments.get(name))), None
    )
    found: list[Location] = []
    for value in arguments.values():
        for text in value if isinstance(value, list) else (value,):
            if not isinstance(text, str) or len(found) == _MOST_LOCATIONS:
                continue
            location = await _location(workspace, text, line)
            if location is not None and location not in found:
                found.append(location)
    return tuple(found)


def _is_line(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


async def _location(workspace: Workspace, text: str, line: int | None) -> Location | None:
    # Most texts are no paths; asking the disk about each would be slow in a remote workspace.
    if not 0 < len(text) <= 500 or "\n" in text or not ("/" in text or "." in text):
        return None
    try:
        path = workspace.resolve(text)
        entries = await workspace.list_dir(path.parent)
    except WorkspaceError:
        return None
    if any(entry.name == path.name and not entry.is_dir for entry in entries):
        return Location(path=path, line=line)
    return None
