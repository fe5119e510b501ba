"""One turn a session at a time: a second prompt meanwhile is refused, and harms nothing."""

import pytest

from tests.e2e.client import Refused
from tests.e2e.conformance.conftest import Stage


def test_a_second_prompt_is_refused(stage: Stage) -> None:
    slow = {"text": "slow " * 20, "delay": 0.05, "chunks": 20}
    session = stage.session(slow, {"text": "Next."})
    client = stage.client
    first = client.begin_prompt(session)
    for _ in range(3):
        with pytest.raises(Refused, match="already running") as refused:
            client.prompt(session)
        assert refused.value.code == -32602
    assert client.result(first) == {"stopReason": "end_turn"}
    assert client.text(session) == "slow " * 20
    assert client.prompt(session) == "end_turn"
    assert client.text(session).endswith("Next.")


def test_cancelling_the_refused_prompt_leaves_the_running_one(stage: Stage) -> None:
    session = stage.session({"text": "slow " * 20, "delay": 0.05, "chunks": 20})
    client = stage.client
    first = client.begin_prompt(session)
    second = client.begin_prompt(session)
    client.notify("$/cancel_request", {"requestId": second})
    with pytest.raises(Refused):
        client.result(second)
    assert client.result(first) == {"stopReason": "end_turn"}


def test_other_requests_are_answered_meanwhile(stage: Stage) -> None:
    session = stage.session({"text": "slow " * 20, "delay": 0.05, "chunks": 20})
    client = stage.client
    first = client.begin_prompt(session)
    client.wait_update(session, lambda update: "slow" in str(update.get("content")))
    assert client.request("session/list", {})["sessions"]
    assert client.initialize()["protocolVersion"] == 1
    assert stage.session()
    client.request("session/set_mode", {"sessionId": session, "modeId": "plan"})
    assert not any(message.get("id") == first for message in client.messages)
    assert client.result(first) == {"stopReason": "end_turn"}
