"""What is agreed on before the first session."""

import json
import sys
from pathlib import Path

import pytest

from punie import __version__
from tests.e2e.client import Client, Refused
from tests.e2e.conftest import Script, Start


@pytest.fixture
def agent(start: Start, script: Script) -> Client:
    return start(script({"text": "Hello."}))


def test_the_handshake(agent: Client) -> None:
    for version in (1, 0, 2, 65535):
        assert agent.initialize(protocolVersion=version)["protocolVersion"] == 1
    result = agent.initialize()
    assert result["agentInfo"] == {"name": "punie", "title": "Punie", "version": __version__}
    assert result["agentCapabilities"] == {
        "loadSession": True,
        "promptCapabilities": {"image": False, "audio": False, "embeddedContext": True},
        "mcpCapabilities": {"http": True, "sse": True},
        "sessionCapabilities": {
            "list": {},
            "delete": {},
            "additionalDirectories": {},
            "fork": {},
            "resume": {},
            "close": {},
        },
        "auth": {"logout": {}},
    }
    (method,) = result["authMethods"]
    assert method.get("type", "agent") == "agent"
    assert agent.request("authenticate", {"methodId": method["id"]}) == {}
    assert agent.request("authenticate", {"methodId": method["id"]}) == {}
    with pytest.raises(Refused, match="-32602"):
        agent.request("authenticate", {"methodId": "password"})


def test_an_ide_is_not_asked_to_sign_in(agent: Client) -> None:
    assert agent.initialize("JetBrains.PyCharm")["authMethods"] == []


def test_two_handshakes_and_two_sessions_at_once(agent: Client, project: Path) -> None:
    handshake = {"protocolVersion": 1, "clientInfo": {"name": "JetBrains.PyCharm", "version": "1"}}
    first, second = agent.call("initialize", handshake), agent.call("initialize", handshake)
    assert agent.result(first) == agent.result(second)
    params = {"cwd": str(project), "mcpServers": []}
    first, second = agent.call("session/new", params), agent.call("session/new", params)
    assert agent.result(first)["sessionId"] != agent.result(second)["sessionId"]


def test_the_first_line_is_the_answer_and_nothing_heavy_came_before_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # The modules that were there when the answer was written, as the program itself sees them.
    seen = tmp_path / "modules.json"
    program = tmp_path / "watched.py"
    program.write_text(
        f"""
import json, sys
from punie.acp import outlet, serve
from punie.settings import load_settings

original = outlet.Outlet.write
async def write(self, data):
    with open({str(seen)!r}, "x") as file:
        json.dump(sorted(sys.modules), file)
    outlet.Outlet.write = original
    await original(self, data)
outlet.Outlet.write = write
serve.serve(load_settings())
"""
    )
    with Client(environment, command=[sys.executable, str(program)], arguments=[]) as client:
        client.initialize()
    modules = set(json.loads(seen.read_text()))
    heavy = {"pydantic_ai", "mlx", "mlx_lm", "transformers", "numpy", "structlog", "rich", "typer"}
    assert not modules & heavy
    assert not {name for name in modules if name.startswith("punie.agent.turn")}


def test_a_session_opens_with_modes_and_options_in_step(agent: Client, project: Path) -> None:
    agent.initialize()
    result = agent.request("session/new", {"cwd": str(project), "mcpServers": []})
    mode_ids = [mode["id"] for mode in result["modes"]["availableModes"]]
    assert mode_ids == ["ask", "accept_edits", "plan", "auto"]
    mode, model = result["configOptions"]
    assert (mode["id"], mode["category"], mode["type"]) == ("mode", "mode", "select")
    assert mode["currentValue"] == result["modes"]["currentModeId"] == "ask"
    assert [option["value"] for option in mode["options"]] == mode_ids
    assert (model["id"], model["category"]) == ("model", "model")
    assert model["currentValue"] in [option["value"] for option in model["options"]]
    assert agent.updates(result["sessionId"]) == []


def test_folders_that_cannot_be_a_project(agent: Client, project: Path) -> None:
    agent.initialize()
    for cwd, sentence in (
        ("project", "absolute"),
        ("", "absolute"),
        (str(project / "missing"), "There is no folder"),
        (str(project / "app.py"), "There is no folder"),
        ("/nul\0", "absolute"),
    ):
        with pytest.raises(Refused, match=sentence) as refused:
            agent.new_session(Path(cwd)) if cwd else agent.request(
                "session/new", {"cwd": cwd, "mcpServers": []}
            )
        assert refused.value.code == -32602


def test_a_broken_project_file_is_named(agent: Client, project: Path) -> None:
    agent.initialize()
    (project / ".punie").mkdir()
    (project / ".punie" / "settings.toml").write_text("mode = [")
    with pytest.raises(Refused, match=r"settings\.toml"):
        agent.new_session(project)
