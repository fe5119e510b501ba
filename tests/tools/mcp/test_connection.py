"""Real servers: connected, called, cancelled, lost and ended."""

import sys

import anyio
import pytest

from punie.tools.mcp.servers import HttpServer, SseServer, StdioServer
from tests.e2e.client import process_exists
from tests.tools.mcp.conftest import SERVER, Open, demo, listening, program

pytestmark = pytest.mark.anyio


async def test_a_stdio_server(open_session: Open) -> None:
    bench = open_session(demo())
    await bench.settled()
    tools = await bench.turn()
    assert bench.told == []
    assert "mcp__demo__echo" in [tool.name for tool in tools]
    assert tools[-1].name == "read_mcp_result"
    assert await bench.call(tools, "mcp__demo__echo", text="ab", times=2) == "abab"
    assert await bench.call(tools, "mcp__demo__fail", text="tea") == (
        "error: Error executing tool fail: no tea today"
    )
    assert await bench.call(tools, "mcp__demo__roots") == bench.root.as_uri()
    text = await bench.call(tools, "mcp__demo__picture")
    assert text == "(an image, image/png, 4 kB, which cannot be shown here)"


@pytest.mark.parametrize("how", ["sse", "http"])
async def test_a_server_on_a_port(
    open_session: Open, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What goes to this machine never takes a proxy, which would see its secrets.
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with listening(how) as port:
        base = f"http://127.0.0.1:{port}"
        bench = open_session(
            SseServer("demo", f"{base}/sse") if how == "sse" else HttpServer("demo", f"{base}/mcp")
        )
        await bench.settled()
        tools = await bench.turn()
        assert bench.told == []
        assert await bench.call(tools, "mcp__demo__echo", text="ab") == "ab"
        assert await bench.call(tools, "mcp__demo__slow", seconds=0.1) == "done"
        assert any("working" in text for text in bench.shown)
        assert await bench.call(tools, "mcp__demo__grow") == "grown"
        await bench.turn_with("mcp__demo__added")
    # The server was killed.
    assert "it no longer answers" in await bench.call(tools, "mcp__demo__echo", text="ab")
    assert await bench.turn() == ()
    assert bench.told == [
        f"The MCP server demo is not used, because nothing answers at 127.0.0.1:{port}; "
        "the session goes on without it."
    ]


async def test_progress_and_a_cancelled_call(open_session: Open) -> None:
    bench = open_session(demo())
    await bench.settled()
    tools = await bench.turn()
    assert await bench.call(tools, "mcp__demo__slow", seconds=0.2) == "done"
    assert "10/10 working\n" in bench.shown
    begun = anyio.current_time()
    with anyio.move_on_after(0.3) as scope:
        await bench.call(tools, "mcp__demo__slow", seconds=60)
    assert scope.cancelled_caught
    assert anyio.current_time() - begun < 1
    # The server is of use at once: the call was not left behind.
    assert await bench.call(tools, "mcp__demo__echo", text="next") == "next"


async def test_more_tools_from_the_next_turn(open_session: Open) -> None:
    bench = open_session(demo())
    await bench.settled()
    tools = await bench.turn()
    assert await bench.call(tools, "mcp__demo__grow") == "grown"
    assert "mcp__demo__added" not in [tool.name for tool in tools]
    later = await bench.turn_with("mcp__demo__added")
    assert await bench.call(later, "mcp__demo__added") == "here"


async def test_the_variables_of_a_server(open_session: Open) -> None:
    bench = open_session(demo(SECRET_TOKEN="hunter2hunter2"))
    await bench.settled()
    tools = await bench.turn()
    assert await bench.call(tools, "mcp__demo__variable", name="SECRET_TOKEN") == "hunter2hunter2"


async def test_bad_servers_are_told_of_once(open_session: Open) -> None:
    bench = open_session(
        program("silent", "import time; time.sleep(987)"),
        program("quits", "import sys; sys.exit(0)"),
        program("breaks", "raise SystemExit(3)"),
        program("babbles", "import time\nwhile True: print('hello', flush=True); time.sleep(0.05)"),
        HttpServer("unreachable", "http://127.0.0.1:9/mcp?token=secret"),
        HttpServer("nonsense", "no address at all"),
        StdioServer("missing", "/no/such/program"),
        program("endless", "import sys\nwhile True: sys.stdout.write('x' * 65536)"),
        start_seconds=1.5,
    )
    await bench.settled()
    await bench.turn()
    await bench.turn()
    clauses = {
        "silent": "it did not answer in time",
        "quits": "it ended with exit code 0",
        "breaks": "it ended with exit code 3",
        "babbles": "what it wrote is not MCP",
        "unreachable": "nothing answers at 127.0.0.1:9",
        "nonsense": "its address does not begin with http:// or https://",
        "endless": "it sent a message that is too large",
        "missing": "the command program was not found",
    }
    assert sorted(bench.told) == sorted(
        f"The MCP server {name} is not used, because {clause}; the session goes on without it."
        for name, clause in clauses.items()
    )


async def test_one_bad_server_disturbs_no_other(open_session: Open) -> None:
    bench = open_session(
        program("silent", "import time; time.sleep(987)"),
        program("quits", "import sys; sys.exit(0)"),
        program("babbles", "import time\nwhile True: print('hello', flush=True); time.sleep(0.05)"),
        demo("works"),
    )
    tools = await bench.turn_with("mcp__works__echo")
    states = {report.name: report.state for report in bench.session.reports()}
    assert (states["silent"], states["quits"]) == ("connecting", "failed")
    assert await bench.call(tools, "mcp__works__echo", text="fine") == "fine"


async def test_a_turn_waits_only_a_moment_and_only_once(open_session: Open) -> None:
    bench = open_session(program("silent", "import time; time.sleep(987)"), wait_seconds=0.3)
    assert await bench.turn() == ()
    begun = anyio.current_time()
    assert await bench.turn() == ()
    assert anyio.current_time() - begun < 0.2
    assert bench.told == []


async def test_a_server_that_dies_is_tried_again(open_session: Open) -> None:
    bench = open_session(demo(), wait_seconds=15)
    await bench.settled()
    tools = await bench.turn()
    said = await bench.call(tools, "mcp__demo__die", code=4)
    assert "it ended with exit code 4" in said
    again = await bench.call(tools, "mcp__demo__echo", text="x")
    assert again == (
        "error: the MCP server demo is not connected, because it ended with exit code 4; "
        "go on without it"
    )
    tools = await bench.turn()
    assert await bench.call(tools, "mcp__demo__echo", text="back") == "back"
    assert bench.told == []


async def test_a_server_that_stays_away_is_told_of_once(open_session: Open) -> None:
    code = (
        "import os, runpy, sys\n"
        "if os.path.exists('begun'): sys.exit(5)\n"
        "open('begun', 'w').close()\n"
        "sys.argv = ['server', 'stdio']\n"
        f"runpy.run_path({str(SERVER)!r}, run_name='__main__')"
    )
    bench = open_session(program("fragile", code), wait_seconds=15)
    await bench.settled()
    tools = await bench.turn()
    await bench.call(tools, "mcp__fragile__die", code=4)
    for _ in range(3):
        assert await bench.turn() == ()
    assert bench.told == [
        "The MCP server fragile is not used, because it ended with exit code 5; "
        "the session goes on without it."
    ]


async def test_closing_ends_all_processes(open_session: Open) -> None:
    bench = open_session(demo(), demo("other"))
    await bench.settled()
    tools = await bench.turn()
    children = [int(await bench.call(tools, f"mcp__{name}__child")) for name in ("demo", "other")]
    assert all(process_exists(pid) for pid in children)
    await bench.session.aclose()
    assert not any(process_exists(pid) for pid in children)


async def test_closing_while_connecting(open_session: Open) -> None:
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(987)"
    bench = open_session(program("silent", code))
    pid_file = anyio.Path(bench.root / "pid")
    with anyio.fail_after(10):
        while not await pid_file.exists() or not await pid_file.read_text():
            await anyio.sleep(0.02)
    await bench.session.aclose()
    assert not process_exists(int(await pid_file.read_text()))


async def test_a_server_that_ignores_all_polite_requests_is_killed(open_session: Open) -> None:
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open('pid', 'w').write(str(os.getpid()))\n"
        "time.sleep(987)"
    )
    bench = open_session(StdioServer("stubborn", sys.executable, ("-c", code)))
    pid_file = anyio.Path(bench.root / "pid")
    with anyio.fail_after(10):
        while not await pid_file.exists() or not await pid_file.read_text():
            await anyio.sleep(0.02)
    await bench.session.aclose()
    assert not process_exists(int(await pid_file.read_text()))
