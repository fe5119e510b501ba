"""The model that `punie bench` measures, opened, with what an agent gives it."""

import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from punie.models.blas import is_blas_in_front
from punie.models.catalog import ModelChoice, weight_bytes
from punie.models.machine import machine_memory
from punie.models.mlx.bench.suite import Subject
from punie.models.options import EngineOptions

if TYPE_CHECKING:
    from punie.models.mlx.bench.suite import RunTool

_SECOND_COPY = 0.6
"""Part of the free memory that a second process with the same weights may take."""


async def open_subject(
    choice: ModelChoice,
    options: EngineOptions,
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> Subject:
    """Open a model to measure; see `Subject`. Raises `ModelUnavailable`."""
    from punie.models.load import open_model

    opened = await open_model(choice, options=options)
    # Imported while loading; from here on they cost nothing.
    from punie.agent.toolset import turn_parameters
    from punie.models.mlx.model import MlxModel
    from punie.tools.catalog import ALL_TOOLS

    assert isinstance(opened, MlxModel)
    assert choice.path is not None
    return Subject(
        model=opened,
        path=choice.path,
        parameters=turn_parameters(ALL_TOOLS),
        project=_project,
        say=say,
        fast_blas=sys.platform != "linux" or is_blas_in_front(),
        bundled=choice.source == "bundled",
        fits_twice=weight_bytes(choice.path) < _SECOND_COPY * machine_memory().available,
        environment=environment,
    )


@asynccontextmanager
async def _project(files: Mapping[str, str]) -> AsyncGenerator["RunTool"]:
    """Make a project in a temporary folder, with the tools that stay inside it."""
    from punie.tools.base import ReadLedger, ToolContext, ToolError
    from punie.tools.catalog import ALL_TOOLS
    from punie.workspace.local import LocalWorkspace

    # What a model under test writes is not run as a command.
    tools = {tool.name: tool for tool in ALL_TOOLS if tool.effect in ("read", "edit")}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        workspace = LocalWorkspace([root])
        context = ToolContext(workspace, ReadLedger())

        async def run(name: str, arguments: Mapping[str, Any]) -> str:
            tool = tools.get(name)
            if tool is None:
                return f"error: {name} cannot be used here"
            try:
                return (await tool.run(context, tool.arguments.model_validate(arguments))).text
            except ValueError as error:
                return f"error: {' '.join(str(error).split())}"
            except ToolError as error:
                return f"error: {error}"

        try:
            yield run
        finally:
            await workspace.aclose()
