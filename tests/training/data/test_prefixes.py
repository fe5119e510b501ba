from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel

from punie.agent.cancel import CancelSignal
from punie.agent.events import PermissionAsked, TurnEvent
from punie.agent.journal import PastTurns
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig, turn_tools
from punie.tools.base import ReadLedger
from punie.training.data.prefixes import prompt_prefix
from punie.workspace.local import LocalWorkspace
from tests.agent.stage import prompt

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("code_mode", [False, True])
async def test_it_is_what_a_turn_tells_the_model(tmp_path: Path, code_mode: bool) -> None:
    told: list[AgentInfo] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        told.append(info)
        yield "Yes."

    async def emit(event: TurnEvent) -> None: ...

    async def ask(asked: PermissionAsked) -> str | None:
        return None

    tools = turn_tools((), attended=True, code_mode=code_mode)
    model = FunctionModel(stream_function=answer)
    config = TurnConfig(model, LocalWorkspace([tmp_path]), ReadLedger(), tools, lambda: "ask")
    await run_turn(config, prompt("Hi"), PastTurns(), emit=emit, ask=ask, cancel=CancelSignal())
    prefix = prompt_prefix(tools)
    (info,) = told
    assert info.instructions == prefix.instructions
    functions: list[Any] = [tool["function"] for tool in prefix.tools]
    assert functions == [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters_json_schema,
        }
        for tool in info.function_tools
    ]
