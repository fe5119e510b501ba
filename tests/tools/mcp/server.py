"""A real MCP server for tests, run as a program: `server.py stdio|sse|http [PORT]`."""

import base64
import os
import subprocess
import sys

import anyio
from mcp import types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("demo", log_level="ERROR")


@server.tool(title="Say it again", annotations=ToolAnnotations(read_only_hint=True))
def echo(text: str, times: int = 1, note: str | None = None) -> str:
    """Repeat a text."""
    return text * times + (note or "")


@server.tool()
def fail(text: str) -> str:
    """Always fail."""
    raise ToolError(f"no {text} today")


@server.tool()
async def slow(seconds: float, ctx: Context) -> str:
    """Take a while, and say on stderr when it is cancelled."""
    try:
        for step in range(10):
            await ctx.report_progress(step + 1, 10, "working")
            await anyio.sleep(seconds / 10)
    except BaseException:
        print("slow was cancelled", file=sys.stderr, flush=True)
        raise
    return "done"


@server.tool()
def picture() -> types.ImageContent:
    """Return a picture."""
    data = base64.b64encode(b"\x89PNG" + bytes(5000)).decode()
    return types.ImageContent(type="image", data=data, mime_type="image/png")


@server.tool()
def long(lines: int) -> str:
    """Return many lines."""
    return "\n".join(f"line {number}" for number in range(lines))


@server.tool()
def variable(name: str) -> str:
    """Return an environment variable."""
    return os.environ.get(name, "(not set)")


@server.tool()
async def roots(ctx: Context) -> str:
    """Return the client's roots."""
    found = await ctx.session.list_roots()
    return ", ".join(str(root.uri) for root in found.roots)


@server.tool()
def child() -> str:
    """Start a process that outlives everything, and return its number."""
    return str(subprocess.Popen(["sleep", "987"]).pid)


@server.tool()
async def grow(ctx: Context) -> str:
    """Offer one more tool."""

    def added() -> str:
        """Was added later."""
        return "here"

    server.add_tool(added)
    await ctx.session.send_tool_list_changed()
    return "grown"


@server.tool()
def die(code: int) -> str:
    """End the server at once."""
    os._exit(code)


@server.tool()
def get_file_problems(filePath: str, projectPath: str) -> str:  # noqa: N803 - the IDE's names
    """Find problems, as an IDE does."""
    return f"no problems in {filePath} of {projectPath}"


if __name__ == "__main__":
    how, *rest = sys.argv[1:]
    if how == "stdio":
        print("ready, with", os.environ.get("SECRET_TOKEN"), file=sys.stderr, flush=True)
        server.run("stdio")
    elif how == "sse":
        server.run("sse", port=int(rest[0]))
    else:
        server.run("streamable-http", port=int(rest[0]), streamable_http_path=rest[1])
