"""Running a tool as the agent does: arguments as JSON, first presented, then run."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from punie.tools.base import AnyTool, ReadLedger, ToolContext, ToolError, ToolLimits, ToolResult
from punie.tools.catalog import ALL_TOOLS
from punie.tools.presentation import Presentation
from punie.workspace.local import LocalWorkspace


@dataclass
class Bench:
    """A project on disk and the tools on it."""

    root: Path
    context: ToolContext

    def limited(self, **limits: Any) -> "Bench":
        return Bench(self.root, replace(self.context, limits=ToolLimits(**limits)))

    def file(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    async def present(self, name: str, **arguments: Any) -> Presentation:
        tool = tool_named(name)
        return await tool.present(self.context, tool.arguments.model_validate(arguments))

    async def result(self, name: str, **arguments: Any) -> ToolResult:
        tool = tool_named(name)
        parsed = tool.arguments.model_validate(arguments)
        await tool.present(self.context, parsed)
        return await tool.run(self.context, parsed)

    async def text(self, name: str, **arguments: Any) -> str:
        """Return what the model reads, errors included."""
        try:
            return (await self.result(name, **arguments)).text
        except ToolError as error:
            return f"error: {error}"


def tool_named(name: str) -> AnyTool:
    return next(tool for tool in ALL_TOOLS if tool.name == name)


@pytest.fixture
async def bench(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Bench]:
    workspace = LocalWorkspace([tmp_path])
    yield Bench(tmp_path, ToolContext(workspace, ReadLedger()))
    await workspace.aclose()
