"""Thinking can be switched where the model's thinking can be, and is remembered."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, Json, Refused
from tests.e2e.conftest import Start

pytestmark = pytest.mark.shared_agent


@pytest.fixture
def thinker(tmp_path: Path) -> str:
    path = tmp_path / "thinker.json"
    answer = {"text": "Done.", "thought": "Hm."}
    path.write_text(json.dumps({"responses": [answer], "repeat": True, "thinking": True}))
    return f"scripted:{path}"


def option(options: list[Json], name: str = "thought_level") -> Json | None:
    return next((option for option in options if option["id"] == name), None)


def open_session(client: Client, project: Path) -> tuple[str, list[Json]]:
    result = client.request("session/new", {"cwd": str(project), "mcpServers": []})
    return result["sessionId"], result["configOptions"]


def set_thinking(client: Client, session: str, value: Any, **more: Any) -> Json:
    params = {"sessionId": session, "configId": "thought_level", "value": value, **more}
    result = client.request("session/set_config_option", params)
    found = option(result["configOptions"])
    assert found is not None
    return found


def test_a_model_that_cannot_think_offers_no_option(
    start: Start, script: Any, project: Path
) -> None:
    client = start(script({"text": "Hi."}))
    client.initialize()
    session, options = open_session(client, project)
    assert option(options) is None
    with pytest.raises(Refused, match="cannot be switched"):
        set_thinking(client, session, "on")


def test_thinking_is_switched_off_and_stays_off(start: Start, thinker: str, project: Path) -> None:
    client = start(thinker)
    client.initialize()
    session, options = open_session(client, project)
    offered = option(options)
    assert offered is not None
    assert (offered["type"], offered["category"]) == ("select", "thought_level")
    assert offered["currentValue"] == "on"
    client.prompt(session)
    assert client.updates(session, "agent_thought_chunk")
    assert set_thinking(client, session, "off")["currentValue"] == "off"
    before = len(client.updates(session, "agent_thought_chunk"))
    client.prompt(session)
    assert len(client.updates(session, "agent_thought_chunk")) == before
    with pytest.raises(Refused, match="off and on"):
        set_thinking(client, session, "enormous")
    client.kill()

    again = start(thinker)
    again.initialize()
    result = again.request(
        "session/resume", {"sessionId": session, "cwd": str(project), "mcpServers": []}
    )
    remembered = option(result["configOptions"])
    assert remembered is not None
    assert remembered["currentValue"] == "off"


def test_a_client_that_knows_booleans_gets_one(start: Start, thinker: str, project: Path) -> None:
    client = start(thinker)
    client.initialize(clientCapabilities={"session": {"configOptions": {"boolean": {}}}})
    session, options = open_session(client, project)
    offered = option(options)
    assert offered is not None
    assert (offered["type"], offered["currentValue"]) == ("boolean", True)
    assert set_thinking(client, session, False, type="boolean")["currentValue"] is False


def test_an_ide_that_stumbles_over_options_gets_modes_alone(
    start: Start, thinker: str, project: Path
) -> None:
    client = start(thinker)
    info = {"name": "JetBrains.PyCharm", "title": "PyCharm 2026.1.1", "version": "2026.1.1"}
    client.initialize(clientInfo=info)
    result = client.request("session/new", {"cwd": str(project), "mcpServers": []})
    assert "configOptions" not in result
    session = result["sessionId"]
    client.request("session/set_mode", {"sessionId": session, "modeId": "plan"})
    client.prompt(session)
    assert not client.updates(session, "config_option_update")


@pytest.fixture
def graded(tmp_path: Path) -> str:
    path = tmp_path / "graded.json"
    answer = {"text": "Done.", "thought": "Hm."}
    script = {"responses": [answer], "repeat": True, "thinking": ["low", "medium", "xhigh"]}
    path.write_text(json.dumps(script))
    return f"scripted:{path}"


def test_levels_are_offered_where_the_model_has_them(
    start: Start, graded: str, thinker: str, project: Path
) -> None:
    client = start(graded)
    client.initialize(clientCapabilities={"session": {"configOptions": {"boolean": {}}}})
    session, options = open_session(client, project)
    offered = option(options)
    assert offered is not None
    values = [level["value"] for level in offered["options"]]
    assert values == ["off", "on", "low", "medium", "xhigh"]
    assert (offered["type"], offered["currentValue"]) == ("select", "on")
    assert set_thinking(client, session, "xhigh")["currentValue"] == "xhigh"
    client.prompt(session)
    assert client.updates(session, "agent_thought_chunk")
    with pytest.raises(Refused, match="there are off, on, low, medium and xhigh"):
        set_thinking(client, session, "high")
    client.kill()

    again = start(graded)
    again.initialize()
    params = {"sessionId": session, "cwd": str(project), "mcpServers": []}
    result = again.request("session/resume", params)
    remembered = option(result["configOptions"])
    assert remembered is not None
    assert remembered["currentValue"] == "xhigh"
    again.kill()

    # Another model knows no levels: it thinks as it does by itself.
    other = start(thinker)
    other.initialize()
    result = other.request("session/resume", params)
    assert option(result["configOptions"]) is not None
