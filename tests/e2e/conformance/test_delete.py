"""`session/delete`: gone for good, and no error if it already was."""

import pytest

from tests.e2e.client import Refused
from tests.e2e.conformance.conftest import Stage

SLOW = {"text": "slow " * 100, "delay": 0.1, "chunks": 100}


def delete(stage: Stage, session: str) -> None:
    assert stage.client.request("session/delete", {"sessionId": session}) == {}


def test_it_is_gone_from_the_list_and_cannot_be_opened(stage: Stage) -> None:
    project = stage.project({"text": "Fine."}, repeat=True)
    client = stage.client
    session, other = (client.new_session(project) for _ in range(2))
    for each in (session, other):
        client.prompt(each)
    delete(stage, session)
    listed = client.request("session/list", {"cwd": str(project)})["sessions"]
    assert [entry["sessionId"] for entry in listed] == [other]
    for method in ("session/load", "session/resume", "session/fork"):
        with pytest.raises(Refused) as refused:
            stage.open(method, session, project)
        assert refused.value.code == -32002
    with pytest.raises(Refused, match="-32002"):
        client.prompt(session)
    assert stage.stored(session) == (None, 0)
    assert client.prompt(other) == "end_turn"


def test_as_often_as_it_comes_and_unknown_ones(stage: Stage) -> None:
    session = stage.session()
    for each in (session, session, "no-such-session", ""):
        delete(stage, each)


def test_a_running_turn_ends_cancelled(stage: Stage) -> None:
    session = stage.session(SLOW)
    client = stage.client
    request = client.begin_prompt(session)
    client.wait_update(session, lambda update: "slow" in str(update.get("content")))
    delete(stage, session)
    assert client.result(request) == {"stopReason": "cancelled"}
    # Nothing of the ended turn brings it back.
    assert stage.stored(session) == (None, 0)


def test_a_closed_session(stage: Stage) -> None:
    session = stage.session()
    stage.client.prompt(session)
    stage.client.request("session/close", {"sessionId": session})
    delete(stage, session)
    assert stage.stored(session) == (None, 0)


def test_bad_parameters(stage: Stage) -> None:
    for params in ({}, {"sessionId": 3}, {"sessionId": None}):
        with pytest.raises(Refused, match="sessionId") as refused:
            stage.client.request("session/delete", params)
        assert refused.value.code == -32602
