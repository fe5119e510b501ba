"""Cancelling ends the turn at once, in every phase, and harms nothing that comes later."""

import time
from pathlib import Path

import pytest

from tests.e2e.client import Client, eventually, merged_calls, process_exists
from tests.e2e.conftest import Script, Start

SLOW = {"text": "slow " * 100, "delay": 0.1, "chunks": 100}


def open_client(start: Start, model: str, project: Path, mode: str = "ask") -> tuple[Client, str]:
    client = start(model, environment={"PUNIE_MODE": mode})
    client.initialize()
    return client, client.new_session(project)


@pytest.mark.parametrize("method", ["session/cancel", "$/cancel_request", "$/cancelRequest"])
def test_while_text_streams(start: Start, script: Script, project: Path, method: str) -> None:
    client, session = open_client(start, script(SLOW, {"text": "Fresh."}), project)
    request = client.begin_prompt(session)
    client.wait_update(session, lambda update: "slow" in str(update.get("content", "")))
    cancel(client, method, session, request)
    assert client.result(request, 5) == {"stopReason": "cancelled"}
    seen = len(client.messages)
    time.sleep(0.4)
    assert len(client.messages) == seen
    assert client.prompt(session) == "end_turn"
    assert client.text(session).endswith("Fresh.")


@pytest.mark.parametrize("method", ["session/cancel", "$/cancel_request"])
def test_right_behind_the_prompt(start: Start, script: Script, project: Path, method: str) -> None:
    client, session = open_client(start, script(SLOW, {"text": "Fresh."}), project)
    request = client.begin_prompt(session)
    cancel(client, method, session, request)
    assert client.result(request, 20) == {"stopReason": "cancelled"}


def test_while_a_command_runs(start: Start, script: Script, project: Path) -> None:
    command = "sleep 987 & echo $! > child; wait"
    call = {"tool": "run_command", "arguments": {"command": command}}
    client, session = open_client(start, script({"calls": [call]}), project, "auto")
    request = client.begin_prompt(session)
    child = project / "child"
    assert eventually(lambda: child.exists() and bool(child.read_text().strip()), 30)
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(request, 5) == {"stopReason": "cancelled"}
    assert eventually(lambda: not process_exists(int(child.read_text())), 2)
    (final,) = merged_calls(client.updates(session)).values()
    assert final["status"] == "failed"


def test_while_a_question_is_open(start: Start, script: Script, project: Path) -> None:
    call = {"tool": "write_file", "arguments": {"path": "new.txt", "content": "x"}}
    client, session = open_client(start, script({"calls": [call]}, {"text": "Fresh."}), project)
    client.answer = lambda request: None
    request = client.begin_prompt(session)
    question = client.wait_for(
        lambda message: message.get("method") == "session/request_permission"
    )
    client.notify("session/cancel", {"sessionId": session})
    # The protocol wants the client to answer open questions as cancelled.
    outcome = {"outcome": {"outcome": "cancelled"}}
    client.send({"jsonrpc": "2.0", "id": question["id"], "result": outcome})
    assert client.result(request, 5) == {"stopReason": "cancelled"}
    # A late yes changes nothing.
    late = {"outcome": {"outcome": "selected", "optionId": "allow_once"}}
    client.send({"jsonrpc": "2.0", "id": question["id"], "result": late})
    assert client.prompt(session) == "end_turn"
    assert not (project / "new.txt").exists()
    (final,) = merged_calls(client.updates(session)).values()
    assert final["status"] == "failed"


def test_when_nothing_runs(start: Start, script: Script, project: Path) -> None:
    client, session = open_client(start, script({"text": "Fine."}, repeat=True), project)
    client.exchange.sound = False
    for _ in range(3):
        client.notify("session/cancel", {"sessionId": session})
        client.notify("session/cancel", {"sessionId": "unknown"})
        client.notify("$/cancel_request", {"requestId": 12345})
        client.notify("$/cancel_request", {"requestId": ["odd"]})
    assert client.prompt(session) == "end_turn"
    client.notify("session/cancel", {"sessionId": session})
    assert client.prompt(session) == "end_turn"


def test_another_request_is_cancelled_or_done(start: Start, script: Script, project: Path) -> None:
    client, _ = open_client(start, script({"text": "Fine."}), project)
    params = {"cwd": str(project), "mcpServers": []}
    request = client.call("session/new", params)
    client.notify("$/cancel_request", {"requestId": request})
    answer = client.wait_for(lambda message: message.get("id") == request)
    # It may have been faster than the cancel.
    assert "result" in answer or answer["error"]["code"] == -32800


def cancel(client: Client, method: str, session: str, request: int) -> None:
    if method == "session/cancel":
        client.notify(method, {"sessionId": session})
    else:
        client.notify(method, {"requestId": request})


def test_a_question_that_nobody_waits_for_is_withdrawn(
    start: Start, script: Script, project: Path
) -> None:
    call = {"tool": "write_file", "arguments": {"path": "new.py", "content": "x"}}
    client = start(script({"calls": [call]}), answer=lambda request: None)
    client.initialize()
    session = client.new_session(project)
    prompt = client.begin_prompt(session)
    question = client.wait_for(
        lambda message: message.get("method") == "session/request_permission"
    )
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(prompt)["stopReason"] == "cancelled"
    withdrawn = client.wait_for(lambda message: message.get("method") == "$/cancel_request")
    assert withdrawn["params"] == {"requestId": question["id"]}
