"""Tools of a real MCP server, called by code."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from punie.tools.base import AnyTool, CallOutcome, ToolError
from punie.tools.code.functions import library
from punie.tools.code.run_code import RunCodeArguments, run_code_tool
from tests.tools.mcp.conftest import Open, demo

pytestmark = pytest.mark.anyio


async def test_servers_tools_are_functions(open_session: Open) -> None:
    bench = open_session(demo("my demo!"))
    await bench.settled()
    tools = await bench.turn()
    names = {function.tool.name: function for function in library(tools).functions}
    echo = next(tool for tool in tools if tool.name.endswith("__echo"))
    assert names[echo.name].signature == (
        f"{echo.name}(text: str, times: int = 1, note: str = None) -> str"
    )
    context = bench.context()

    async def call(tool: AnyTool, arguments: Mapping[str, Any], *, may_ask: bool) -> CallOutcome:
        try:
            result = await tool.run(context, tool.arguments.model_validate(dict(arguments)))
        except ToolError as error:
            return CallOutcome(f"error: {error}", failed=True)
        return CallOutcome(result.text, data=result.data)

    code = (
        f"say = {echo.name}\n"
        "print(say('ab', 2), say('c', note='d'))\n"
        f"print(len({echo.name.replace('echo', 'long')}(5000).split('\\n')))\n"
        f"try:\n    {echo.name.replace('echo', 'fail')}('luck')\n"
        "except RuntimeError as error:\n    print(error)"
    )
    result = await run_code_tool(tools).run(
        replace(context, call=call), RunCodeArguments(code=code)
    )
    assert result.text == "abab cd\n5000\nError executing tool fail: no luck today"
