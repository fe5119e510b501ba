"""The IDE's own server, whose launcher may not speak MCP at all."""

import logging
import sys
from pathlib import Path

import pytest

from punie.tools.mcp.idea import IDE_TOOLS, ide_title, is_ide
from punie.tools.mcp.servers import HttpServer, McpServer, SseServer, StdioServer
from tests.tools.mcp.conftest import SERVER, Open, listening
from tests.tools.mcp.ide import FULL, ROUTER, Ide, running_ide

pytestmark = pytest.mark.anyio

EXITS = "import sys; sys.exit(0)"
HANGS = "import time; time.sleep(987)"


def launcher(tmp_path: Path, ide: Ide, code: str, **more: str) -> McpServer:
    script = tmp_path / "launcher"
    script.write_text(f"#!/usr/bin/env python3\n{code}\n")
    script.chmod(0o755)
    return StdioServer("idea", str(script), ("stdioMcpServer",), {**ide.environment(), **more})


@pytest.mark.parametrize("code", [EXITS, HANGS], ids=["exits", "hangs"])
async def test_its_local_address_is_used_instead_of_the_launcher(
    open_session: Open, tmp_path: Path, code: str
) -> None:
    (tmp_path / "app.py").write_text("x = 1\n")
    with running_ide(FULL) as ide:
        bench = open_session(launcher(tmp_path, ide, code), launcher_seconds=0.7)
        await bench.settled()
        tools = await bench.turn()
        assert bench.told == []
        # Only what is useful, in our order and our words; files are ours to read and to write.
        names = [tool.name for tool in tools]
        assert names == [
            "mcp__idea__get_file_problems",
            "mcp__idea__rename_refactoring",
            "mcp__idea__reformat_file",
            "read_mcp_result",
        ]
        problems, rename = tools[0], tools[1]
        assert (problems.effect, rename.effect) == ("read", "external")
        assert problems.description == IDE_TOOLS["get_file_problems"].description
        assert problems.parameters is not None
        assert "projectPath" not in problems.parameters["properties"]
        shown = await bench.present(tools, problems.name, filePath="app.py")
        assert (shown.title, shown.kind) == ("idea: Find problems in app.py", "read")
        assert [location.path for location in shown.locations] == [tmp_path / "app.py"]
        assert await bench.call(tools, problems.name, filePath="app.py") == "no problems"
        assert ide.called == [
            {
                "name": "get_file_problems",
                "arguments": {"filePath": "app.py", "projectPath": str(tmp_path)},
                "_meta": ide.called[0]["_meta"],
            }
        ]
        assert ide.refused == 0


@pytest.mark.parametrize("how", ["stdio", "stream"])
async def test_the_other_ways_to_it(open_session: Open, tmp_path: Path, how: str) -> None:
    name = "mcp__idea__get_file_problems"
    with listening("http", "/stream") as port:
        environment = {"IJ_MCP_SERVER_PORT": str(port) if how == "stream" else "9"}
        entry = StdioServer("idea", sys.executable, ("-c", EXITS, "stdioMcpServer"), environment)
        if how == "stdio":
            arguments = (str(SERVER), "stdio", "stdioMcpServer")
            entry = StdioServer("idea", sys.executable, arguments, environment)
        bench = open_session(entry)
        await bench.settled()
        tools = await bench.turn()
        assert bench.told == []
        assert [tool.name for tool in tools] == [name, "read_mcp_result"]
        said = await bench.call(tools, name, filePath="a.py")
        assert said == f"no problems in a.py of {tmp_path}"


async def test_a_wrong_token_is_told_without_showing_it(
    open_session: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with running_ide(FULL) as ide:
        server = launcher(tmp_path, ide, EXITS, IJ_MCP_AUTH_TOKEN="wrong-token-987654")
        bench = open_session(server)
        await bench.settled()
        assert await bench.turn() == ()
    assert bench.told == [
        "The MCP server idea is not used, because it ended with exit code 0, and at the IDE's own "
        "address it refused the sign-in; the session goes on without it."
    ]
    assert ide.refused > 0
    assert "wrong-token-987654" not in caplog.text
    assert "wrong-token-987654" not in str(bench.session.reports()) + repr(server)


async def test_an_address_with_a_key_is_not_logged(
    open_session: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with running_ide(FULL) as ide:
        address = f"http://127.0.0.1:{ide.port}/sse?k=sesame-0123"
        bench = open_session(HttpServer("http", address), SseServer("sse", address))
        await bench.settled()
        assert await bench.turn() == ()
    assert [text.count("it refused the sign-in") for text in bench.told] == [1, 1]
    assert "sesame" not in caplog.text + str(bench.told) + str(bench.session.reports())


async def test_the_router_mode_is_told_of_and_not_used(open_session: Open, tmp_path: Path) -> None:
    with running_ide(ROUTER) as ide:
        bench = open_session(launcher(tmp_path, ide, EXITS))
        await bench.settled()
        assert await bench.turn() == ()
        await bench.turn()
    assert len(bench.told) == 1
    assert "router mode" in bench.told[0]


def test_only_the_ides_own_entry_is_taken_for_it() -> None:
    environment = {"IJ_MCP_SERVER_PORT": "64342"}
    assert is_ide(StdioServer("idea", "pycharm", ("stdioMcpServer",), environment))
    assert is_ide(StdioServer("pycharm", "pycharm", ("stdioMcpServer",), environment))
    assert not is_ide(StdioServer("idea", "pycharm", ("stdioMcpServer",)))
    assert not is_ide(StdioServer("idea", "npx", ("server",), environment))
    assert not is_ide(
        StdioServer("idea", "pycharm", ("stdioMcpServer",), {"IJ_MCP_SERVER_PORT": "evil.org:1"})
    )
    assert not is_ide(HttpServer("idea", "http://127.0.0.1:64342/stream"))


def test_titles_say_what_is_done() -> None:
    assert ide_title(IDE_TOOLS["lint_files"], {"file_paths": ["a.py", "b.py", "c.py"]}) == (
        "Find problems in a.py and 2 more"
    )
    rename = IDE_TOOLS["rename_refactoring"]
    assert ide_title(rename, {"symbolName": "old", "newName": "new"}) == "Rename old to new"
    assert ide_title(rename, {"symbolName": "old"}) == "Rename symbol"
    where = {"filePath": "src/app.py", "line": 3}
    assert ide_title(IDE_TOOLS["get_symbol_info"], where) == "Look up symbol at src/app.py:3"
