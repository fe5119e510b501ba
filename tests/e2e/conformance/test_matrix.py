"""What docs/acp.md calls supported is there when a client asks for it."""

from typing import Any

import pytest

from punie.acp import matrix
from punie.acp import matrix_rows as rows
from tests.e2e.client import Client, Json, Refused
from tests.e2e.conformance.conftest import Stage, stage_environment
from tests.e2e.conftest import Start
from tests.texts import numbers

NOTIFICATIONS = {"session/cancel", "$/cancel_request"}
METHODS = sorted({*rows.AGENT_METHODS, *rows.DRAFT} - NOTIFICATIONS)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_answered_if_it_is_supported(stage: Stage, method: str) -> None:
    # Without parameters, most say what they miss; the others just do it.
    code = 0
    try:
        stage.client.request(method, {})
    except Refused as refused:
        code = refused.code
    assert (code == -32601) == (method not in matrix.served_methods())
    assert code in (0, -32601, -32602)


def test_the_capabilities_are_those_of_the_matrix(stage: Stage) -> None:
    capabilities = stage.client.initialize()["agentCapabilities"]
    offered = set(paths(capabilities))
    assert offered == matrix.agent_capabilities()


def paths(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict) and value:
        return [found for key in value for found in paths(value[key], f"{path}.{key}".strip("."))]
    return [path] if value is not False else []


def test_every_supported_update_is_sent(start: Start, stage: Stage) -> None:
    client = start(environment=stage_environment(stage.folder))
    client.initialize(clientCapabilities={"session": {"notices": {}, "compaction": {}}})
    plan = {"tool": "update_plan", "arguments": {"steps": [{"content": "a", "status": "pending"}]}}
    look = {"tool": "list_dir", "arguments": {"path": "."}}
    long = {"text": numbers(45_000), "chunks": 1}
    project = stage.project(
        {"thought": "Hm.", "text": "Plan.", "calls": [plan, look]}, {"text": "Done."},
        long, long, long, long, {"calls": [look]}, {"calls": [look]}, {"calls": [look]},
    )  # fmt: skip
    session = client.new_session(project)
    for _ in range(6):
        assert client.prompt(session) == "end_turn"
    client.request("session/set_mode", {"sessionId": session, "modeId": "plan"})
    option = {"sessionId": session, "configId": "mode", "value": "ask"}
    client.request("session/set_config_option", option)
    reopen(client, session, str(project))
    seen = {update["sessionUpdate"] for update in client.updates(session)}
    assert seen == matrix.sent_updates()


def reopen(client: Client, session: str, cwd: str) -> Json:
    params = {"sessionId": session, "cwd": cwd, "mcpServers": []}
    result = client.request("session/load", params)
    client.initialize()
    assert isinstance(result, dict)
    return result
