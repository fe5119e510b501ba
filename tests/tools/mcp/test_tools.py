"""MCP tools as the model and the person see them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from punie.tools.base import AnyTool, CallOutcome, ToolError
from punie.tools.code.functions import library
from punie.tools.code.run_code import run_code_tool
from punie.tools.mcp.naming import LONGEST_NAME
from tests.tools.mcp.conftest import Bench, Open, demo, program

pytestmark = pytest.mark.anyio

FLOOD = """
import json, sys
tools = [
    {
        "name": f"tool.{n} with a name that is far too long for any model to take as it is, %s" % n,
        "description": "word " * 1000,
        "inputSchema": {
            "type": "object",
            "properties": {
                f"p{i}": {"type": "string", "description": "word " * 100} for i in range(30)
            },
        },
    }
    for n in range(200)
]
for line in sys.stdin:
    message = json.loads(line)
    results = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "flood", "version": "1"},
        },
        "tools/list": {"tools": tools},
    }
    if "id" in message:
        result = results.get(message["method"], {})
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


async def test_calls_are_asked_for_whatever_the_server_says(open_session: Open) -> None:
    bench = open_session(demo())
    await bench.settled()
    tools = await bench.turn()
    echo = next(tool for tool in tools if tool.name == "mcp__demo__echo")
    assert echo.effect == "external"
    shown = await bench.present(tools, echo.name, text="hello\nworld", times=2)
    assert shown.title == "demo: Say it again hello …"
    assert shown.kind == "read"
    (content,) = shown.content
    assert content.type == "text"
    assert "echo {" in content.text
    assert '"times": 2' in content.text


async def test_the_schema_is_the_servers_and_mistakes_are_explained(open_session: Open) -> None:
    bench = open_session(demo())
    await bench.settled()
    tools = await bench.turn()
    echo = next(tool for tool in tools if tool.name == "mcp__demo__echo")
    assert echo.parameters == {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "times": {"type": "integer", "default": 1},
            "note": {"type": ["string", "null"]},
        },
        "required": ["text"],
    }
    said = await bench.call(tools, echo.name, times="many")
    assert said == (
        "error: text is missing, times: 'many' is not of type 'integer'; valid arguments are "
        "text (string), times (integer, optional), note (string or null, optional)"
    )
    # Habits of models are forgiven.
    assert await bench.call(tools, echo.name, text="a", times="3", note=None) == "aaa"
    assert await bench.call(tools, echo.name, text="a", times=None) == "a"


async def test_a_long_result_is_read_on(open_session: Open) -> None:
    bench = open_session(demo())
    await bench.settled()
    tools = await bench.turn()
    first = await bench.call(tools, "mcp__demo__long", limit=1000, lines=300)
    assert len(first) <= 1000
    assert first.startswith("line 0\n")
    whole = "\n".join(f"line {number}" for number in range(300))
    text, offset = first.rpartition("\n(characters")[0], 0
    while len(text) < len(whole):
        offset = len(text)
        part = await bench.call(tools, "read_mcp_result", limit=1000, result=1, offset=offset)
        text += part.rpartition("\n(characters")[0] if "(characters" in part else part
    assert text == whole
    assert "no longer kept" in await bench.call(tools, "read_mcp_result", result=7, offset=0)
    assert "offset must be" in await bench.call(tools, "read_mcp_result", result=1, offset=10**6)
    assert (
        await code_result(bench, tools) == "abab cd\n5000\nError executing tool fail: no luck today"
    )


async def code_result(bench: Bench, tools: tuple[AnyTool, ...]) -> str:
    """Call the tools from code, which gets results whole; return what it printed."""
    signatures = [function.signature for function in library(tools).functions]
    assert "mcp__demo__echo(text: str, times: int = 1, note: str = None) -> str" in signatures
    context = bench.context(limit=1000)

    async def call(tool: AnyTool, arguments: Mapping[str, Any], *, may_ask: bool) -> CallOutcome:
        try:
            result = await tool.run(context, tool.arguments.model_validate(dict(arguments)))
        except ToolError as error:
            return CallOutcome(f"error: {error}", failed=True)
        return CallOutcome(result.text, data=result.data)

    code = (
        "print(mcp__demo__echo('ab', 2), mcp__demo__echo('c', note='d'))\n"
        "print(len(mcp__demo__long(5000).split('\\n')))\n"
        "try:\n    mcp__demo__fail('luck')\nexcept RuntimeError as error:\n    print(error)"
    )
    run_code = run_code_tool(tools)
    result = await run_code.run(replace(context, call=call), run_code.arguments(code=code))
    return result.text


async def test_two_hundred_tools_cannot_flood_the_prompt(open_session: Open) -> None:
    bench = open_session(program("flood", FLOOD), demo())
    await bench.settled()
    tools = await bench.turn(window=32_768)
    sizes = [len(tool.name + tool.description + str(tool.parameters)) for tool in tools]
    assert sum(sizes) < 32_768 // 8 * 3 + 1_000
    names = [tool.name for tool in tools]
    assert all(len(name) <= LONGEST_NAME for name in names)
    assert len(set(names)) == len(names)
    # The other server keeps its place.
    assert "mcp__demo__echo" in names
    assert "mcp__demo__die" in names
    assert 0 < sum(name.startswith("mcp__flood__") for name in names) < 200
    (told,) = bench.told
    assert told.startswith("Of the 200 tools of the MCP server flood ")
    again = await bench.turn(window=32_768)
    assert [tool.name for tool in again] == names
    assert len(bench.told) == 1


async def test_equal_names_stay_apart(open_session: Open) -> None:
    bench = open_session(demo("my server"), demo("my_server"), demo("my server"))
    await bench.settled()
    tools = await bench.turn()
    names = [tool.name for tool in tools]
    assert len(set(names)) == len(names)
    for slug in ("my_server", "my_server-2", "my_server-3"):
        assert await bench.call(tools, f"mcp__{slug}__echo", text=slug) == slug


async def test_two_sessions_do_not_see_each_other(open_session: Open) -> None:
    one, two = open_session(demo()), open_session(demo())
    await one.settled()
    await two.settled()
    ones, twos = await one.turn(), await two.turn()
    assert await one.call(ones, "mcp__demo__grow") == "grown"
    await one.turn_with("mcp__demo__added")
    assert "mcp__demo__added" not in [tool.name for tool in await two.turn()]
    await one.session.aclose()
    assert await two.call(twos, "mcp__demo__echo", text="still here") == "still here"


async def test_a_name_that_is_a_path_is_shown_as_a_place(open_session: Open) -> None:
    bench = open_session(demo())
    (bench.root / "src").mkdir()
    (bench.root / "src" / "app.py").write_text("x = 1\n")
    await bench.settled()
    tools = await bench.turn()
    shown = await bench.present(tools, "mcp__demo__echo", text="src/app.py")
    assert [location.path for location in shown.locations] == [bench.root / "src/app.py"]
    for text in ("src", "../outside.py", "no/such.py", "/etc/passwd", "\0.", "a" * 9999 + "."):
        shown = await bench.present(tools, "mcp__demo__echo", text=text)
        assert shown.locations == ()


async def test_reports_hold_no_secrets(open_session: Open) -> None:
    server = demo(SECRET_TOKEN="hunter2hunter2")
    bench = open_session(replace(server, arguments=(*server.arguments, "--key=hunter3")))
    await bench.settled()
    await bench.turn()
    text = str(bench.session.reports())
    assert "hunter" not in text
    assert "hunter" not in repr(server)
