"""What the protocol does not know: methods beginning with `_`, unknown methods, unknown keys."""

import pytest

from tests.e2e.client import Refused
from tests.e2e.conformance.conftest import Stage


@pytest.mark.parametrize(
    "method",
    [
        "_vendor/thing", "_", "_initialize", "_session/delete", "_logout", "__", "no/such", "",
        "session/archive", "session/set_model", "providers/list", "mcp/message", "nes/start",
        "proxy/initialize", "session/update", "fs/read_text_file", "rpc.discover",
    ],
)  # fmt: skip
def test_unknown_requests(stage: Stage, method: str) -> None:
    with pytest.raises(Refused) as refused:
        stage.client.request(method, {"sessionId": "x"})
    assert refused.value.code == -32601


@pytest.mark.parametrize(
    "method", ["_vendor/thing", "_", "no/such", "$/progress", "session/update"]
)
def test_unknown_notifications_are_ignored(stage: Stage, method: str) -> None:
    stage.client.exchange.sound = False
    before = len(stage.client.messages)
    stage.client.notify(method, {"sessionId": "x"})
    stage.client.initialize()
    assert len(stage.client.messages) == before + 1


def test_unknown_keys_are_ignored(stage: Stage) -> None:
    client = stage.client
    client.exchange.sound = False
    extra = {"novel": {"deep": [1]}, "_meta": {"vendor/key": 1, "traceparent": "00-1-2-03"}}
    project = stage.project()
    session = client.new_session(project, **extra)
    block = {"type": "text", "text": "Hi", **extra}
    params = {"sessionId": session, "prompt": [block], **extra}
    assert client.request("session/prompt", params) == {"stopReason": "end_turn"}
    params = {"sessionId": session, "modeId": "plan", **extra}
    assert client.request("session/set_mode", params) == {}
    client.send(
        {
            "jsonrpc": "2.0", "id": "extra", "method": "session/list", "params": {**extra},
            "type": "request", "trace": 1,
        }
    )  # fmt: skip
    assert "sessions" in client.result("extra")
