"""Sessions with real MCP servers, in the tests' own event loop."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from punie.tools.base import AnyTool, ReadLedger, ToolContext, ToolError, ToolLimits
from punie.tools.mcp.connection import Surroundings
from punie.tools.mcp.servers import McpServer, StdioServer
from punie.tools.mcp.session import McpSession
from punie.tools.presentation import Presentation
from punie.workspace.local import LocalWorkspace

SERVER = Path(__file__).with_name("server.py")


def demo(name: str = "demo", **environment: str) -> StdioServer:
    """The demo server over stdio."""
    return StdioServer(name, sys.executable, (str(SERVER), "stdio"), environment)


def program(name: str, code: str, **environment: str) -> StdioServer:
    """A server that is a few lines of Python."""
    return StdioServer(name, sys.executable, ("-c", code), environment)


class Bench:
    """One session; `told` holds all sentences of its turns so far, `shown` all progress."""

    def __init__(self, root: Path, session: McpSession) -> None:
        self.root = root
        self.session = session
        self.told: list[str] = []
        self.shown: list[str] = []

    async def settled(self, seconds: float = 20.0) -> None:
        """Wait until no server is on its way any more."""
        with anyio.fail_after(seconds):
            while any(report.state == "connecting" for report in self.session.reports()):
                await anyio.sleep(0.02)

    async def turn(self, window: int | None = None) -> tuple[AnyTool, ...]:
        """Begin a turn."""
        await self.session.settle()
        tools = await self.session.tools(window)
        self.told += self.session.notices()
        return tools

    async def turn_with(self, tool_id: str) -> tuple[AnyTool, ...]:
        """Begin turns until one has the tool."""
        with anyio.fail_after(15):
            while True:
                tools = await self.turn()
                if any(tool.name == tool_id for tool in tools):
                    return tools
                await anyio.sleep(0.05)

    def context(self, limit: int = 16_000) -> ToolContext:
        async def progress(text: str) -> None:
            self.shown.append(text)

        workspace = LocalWorkspace([self.root])
        return ToolContext(workspace, ReadLedger(), ToolLimits(result_chars=limit), progress)

    async def call(
        self, tools: tuple[AnyTool, ...], tool_id: str, limit: int = 16_000, **arguments: object
    ) -> str:
        """Run a tool and return what the model reads."""
        tool = next(tool for tool in tools if tool.name == tool_id)
        parsed = tool.arguments.model_validate(arguments)
        try:
            return (await tool.run(self.context(limit), parsed)).text
        except ToolError as error:
            return f"error: {error}"

    async def present(
        self, tools: tuple[AnyTool, ...], tool_id: str, **arguments: object
    ) -> Presentation:
        """Return what a person sees before the call runs."""
        tool = next(tool for tool in tools if tool.name == tool_id)
        return await tool.present(self.context(), tool.arguments.model_validate(arguments))


Open = Callable[..., Bench]


async def environment() -> Mapping[str, str]:
    return os.environ


@pytest.fixture
async def open_session(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Open]:
    """Open a session with some servers; it is closed after the test."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())

        def open_session(*servers: McpServer, **seconds: Any) -> Bench:
            around = replace(Surroundings(tmp_path, [tmp_path], environment), **seconds)
            session = McpSession(servers, around)
            session.start(tasks)
            stack.push_async_callback(session.aclose)
            return Bench(tmp_path, session)

        yield open_session


@contextmanager
def listening(how: str, path: str = "/mcp") -> Iterator[int]:
    """Run the demo server on a local port, by `sse` or `http`; yield the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, str(SERVER), how, str(port), path])
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()
