"""How a session's MCP servers are doing, as it is stored and as a person reads it."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from punie.tools.mcp.servers import Transport
from punie.tools.wording import count, in_backticks, one_line

MCP_META = "mcp"
"""The key of the reports in a session's record."""

_REASON_CHARS = 300
_NAME_CHARS = 80


class ToolReport(BaseModel):
    """One tool: the server's name for it, the model's, and whether it has room in the prompt."""

    model_config = ConfigDict(frozen=True)

    name: str
    id: str
    used: bool = True


class ServerReport(BaseModel):
    """One server; `reason` is a clause that tells why it, or some of it, is not used."""

    model_config = ConfigDict(frozen=True)

    name: str
    transport: Transport | None = None
    state: Literal["connecting", "connected", "failed"]
    reason: str | None = None
    tools: tuple[ToolReport, ...] = ()


_ADAPTER = TypeAdapter(tuple[ServerReport, ...])


def encoded(reports: Sequence[ServerReport]) -> list[object]:
    """Return the reports as JSON values for a session's record."""
    values: list[object] = _ADAPTER.dump_python(tuple(reports), mode="json")
    return values


def decoded(values: object) -> tuple[ServerReport, ...]:
    """Read reports back; raise `pydantic.ValidationError` when they are none."""
    return _ADAPTER.validate_python(values)


def state_line(report: ServerReport) -> str:
    """Return one line without the server's name: its state, and why or what it offers."""
    reason = one_line(report.reason, _REASON_CHARS) if report.reason else ""
    because = f": {reason}" if reason else ""
    if report.state == "failed":
        return f"not used{because}"
    if report.state == "connecting":
        return "connecting"
    used = sum(tool.used for tool in report.tools)
    tools = count(len(report.tools), "tool")
    if used < len(report.tools):
        tools += f", {used} of them used"
    return f"connected, {tools}{because}"


def markdown(reports: Sequence[ServerReport]) -> str:
    """Return the reports as Markdown for the chat."""
    if not reports:
        return "This session was given no MCP servers."
    parts: list[str] = []
    for report in reports:
        name = in_backticks(one_line(report.name, _NAME_CHARS))
        parts.append(f"- **{name}** {state_line(report)}")
        parts += [
            f"  - {in_backticks(tool.id)}{'' if tool.used else ' (not used)'}"
            for tool in report.tools
        ]
    return "\n".join(parts)
