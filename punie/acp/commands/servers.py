"""/mcp: the MCP servers that the client gave the session."""

from punie.acp.commands.context import CommandContext
from punie.tools.mcp.report import markdown


async def mcp(context: CommandContext) -> str:
    """List the servers, how they are doing, and their tools."""
    servers = context.session.mcp
    return markdown([] if servers is None else servers.reports())
