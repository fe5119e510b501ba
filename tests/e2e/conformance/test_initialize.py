"""`initialize`: the version, the capabilities as advertised, and clients that say little."""

from typing import Any

import pytest

from punie import __version__
from tests.e2e.client import Refused
from tests.e2e.conformance.conftest import Stage
from tests.e2e.conftest import Start

CAPABILITIES = {
    "loadSession": True,
    "promptCapabilities": {"image": False, "audio": False, "embeddedContext": True},
    "mcpCapabilities": {"http": True, "sse": True},
    "sessionCapabilities": {
        "list": {},
        "delete": {},
        "resume": {},
        "close": {},
        "fork": {},
        "additionalDirectories": {},
    },
    "auth": {"logout": {}},
}
"""Each is used by a test of its own in this folder."""


def test_the_answer(stage: Stage) -> None:
    result = stage.client.initialize()
    assert result["agentInfo"] == {"name": "punie", "title": "Punie", "version": __version__}
    assert result["agentCapabilities"] == CAPABILITIES
    (method,) = result["authMethods"]
    assert method.get("type", "agent") == "agent"


@pytest.mark.parametrize("version", [0, 1, 2, 65535])
def test_another_version_is_answered_with_ours(stage: Stage, version: int) -> None:
    assert stage.client.initialize(protocolVersion=version)["protocolVersion"] == 1


@pytest.mark.parametrize("version", ["1", "0.1", "2024-11-05", "", 1.5, None, [], {}, True])
def test_versions_of_another_type_are_answered_with_ours(stage: Stage, version: object) -> None:
    # Early clients sent text; a handshake that fails helps nobody.
    stage.client.exchange.sound = False
    assert stage.client.initialize(protocolVersion=version)["protocolVersion"] == 1


@pytest.mark.parametrize("version", [-1, 65536, 2**70])
def test_numbers_that_are_no_version(stage: Stage, version: int) -> None:
    with pytest.raises(Refused, match="protocolVersion") as refused:
        stage.client.initialize(protocolVersion=version)
    assert refused.value.code == -32602


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"clientInfo": None},
        {"clientCapabilities": None},
        {"clientCapabilities": {}, "clientInfo": {"name": "", "version": ""}},
        {"clientCapabilities": {"fs": {}, "terminal": False, "_meta": {"terminal-auth": True}}},
        {"clientCapabilities": {"novel": {"thing": 1}}, "novel": True, "_meta": {"a": 1}},
    ],
)
def test_clients_that_say_little_or_more_than_is_known(
    stage: Stage, params: dict[str, Any]
) -> None:
    stage.client.exchange.sound = False
    result = stage.client.request("initialize", {"protocolVersion": 1, **params})
    assert result["agentCapabilities"] == CAPABILITIES
    assert len(result["authMethods"]) == 1


def test_twice_on_one_connection(stage: Stage) -> None:
    session = stage.session({"text": "Before. "}, {"text": "After."})
    assert stage.client.prompt(session) == "end_turn"
    assert stage.client.initialize() == stage.client.initialize()
    assert stage.client.prompt(session) == "end_turn"
    assert stage.client.text(session).endswith("After.")


def test_calls_before_it_are_answered(start: Start, stage: Stage) -> None:
    # The protocol wants it first; an agent that hangs or dies otherwise helps nobody.
    client = start()
    project = stage.project({"text": "Without a handshake."})
    session = client.new_session(project)
    assert client.prompt(session) == "end_turn"
    assert client.text(session) == "Without a handshake."
    assert client.initialize()["protocolVersion"] == 1
