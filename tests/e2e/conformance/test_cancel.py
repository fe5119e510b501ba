"""`session/cancel` and `$/cancel_request` at every moment; the next turn always works."""

from collections.abc import Callable

import pytest

from tests.e2e.client import Client, Json, eventually
from tests.e2e.conformance.conftest import Stage
from tests.processes import SLEEP, sleeping

METHODS = ["session/cancel", "$/cancel_request", "$/cancelRequest"]
NEXT = {"text": "Next."}
THINKING = {"thought": "slow " * 99, "delay": 0.1, "chunks": 99}
WRITE = {"tool": "write_file", "arguments": {"path": "new.txt", "content": "x"}}
RUN = {
    "tool": "run_command",
    "arguments": {"command": f"{SLEEP} & echo $! > child; echo started; wait"},
}


def cancel(client: Client, method: str, session: str, request: int) -> None:
    if method == "session/cancel":
        client.notify(method, {"sessionId": session})
    else:
        client.notify(method, {"requestId": request})


def is_text(update: Json) -> bool:
    return "slow" in str(update.get("content"))


def is_thought(update: Json) -> bool:
    return update["sessionUpdate"] == "agent_thought_chunk" and is_text(update)


def is_call(update: Json) -> bool:
    return update.get("status") == "pending"


def is_running(update: Json) -> bool:
    return update.get("status") == "in_progress"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("response", "moment"),
    [
        pytest.param({"text": "x", "delay": 0.5, "chunks": 1}, None, id="behind-the-prompt"),
        pytest.param({"text": "slow " * 99, "delay": 0.1, "chunks": 99}, is_text, id="text"),
        pytest.param(THINKING, is_thought, id="thought"),
        pytest.param({"calls": [WRITE]}, is_call, id="question"),
        pytest.param({"calls": [RUN]}, is_running, id="command"),
        pytest.param({"calls": [WRITE, WRITE, RUN]}, is_call, id="many-calls"),
    ],
)  # fmt: skip
def test_at_each_moment(
    stage: Stage, method: str, response: Json, moment: Callable[[Json], bool] | None
) -> None:
    project = stage.project(response, NEXT, NEXT)
    client = stage.client
    session = client.new_session(project)
    if moment is is_running:
        client.request("session/set_mode", {"sessionId": session, "modeId": "auto"})
    client.answer = lambda request: None
    request = client.begin_prompt(session)
    if moment is not None:
        client.wait_update(session, moment)
    cancel(client, method, session, request)
    assert client.result(request, 10) == {"stopReason": "cancelled"}
    assert all(call["status"] == "failed" for call in client.calls(session).values())
    assert not (project / "new.txt").exists()
    seen = len(client.updates(session))
    assert client.prompt(session) == "end_turn"
    # Nothing of the ended turn came late: the next turn begins with what it says itself.
    assert "slow" not in str(client.updates(session)[seen:])


def test_before_the_first_token(stage: Stage) -> None:
    session = stage.session({"text": "Late.", "delay": 30, "chunks": 1}, NEXT, NEXT)
    client = stage.client
    request = client.begin_prompt(session)
    # The prompt is saved before the model is asked.
    assert eventually(lambda: stage.stored(session)[1] > 0)
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(request, 10) == {"stopReason": "cancelled"}
    assert "Late." not in client.text(session)


def test_a_question_that_was_withdrawn_is_not_answered_any_more(stage: Stage) -> None:
    project = stage.project({"calls": [WRITE]}, NEXT)
    client = stage.client
    client.answer = lambda request: None
    session = client.new_session(project)
    request = client.begin_prompt(session)
    question = client.wait_for(
        lambda message: (
            message.get("method") == "session/request_permission"
            and message["params"]["sessionId"] == session
        )
    )
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(request, 10) == {"stopReason": "cancelled"}
    # The client is told that nobody waits for its answer, and may answer all the same.
    assert eventually(
        lambda: any(
            message.get("method") == "$/cancel_request"
            and message["params"]["requestId"] == question["id"]
            for message in client.messages
        )
    )
    for outcome in (
        {"outcome": "cancelled"},
        {"outcome": "selected", "optionId": "allow_once"},
    ):
        client.send({"jsonrpc": "2.0", "id": question["id"], "result": {"outcome": outcome}})
    assert client.prompt(session) == "end_turn"
    assert not (project / "new.txt").exists()


def test_a_command_ends_with_its_children(stage: Stage) -> None:
    project = stage.project({"calls": [RUN]}, NEXT)
    client = stage.client
    session = client.new_session(project)
    client.request("session/set_mode", {"sessionId": session, "modeId": "auto"})
    request = client.begin_prompt(session)
    child = project / "child"
    assert eventually(lambda: child.exists() and bool(child.read_text().strip()), 30)
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(request, 10) == {"stopReason": "cancelled"}
    assert eventually(lambda: not sleeping(), 2)


def test_twice_and_when_nothing_runs(stage: Stage) -> None:
    slow = {"text": "slow " * 99, "delay": 0.1, "chunks": 99}
    session = stage.session(slow, NEXT, NEXT, NEXT)
    client = stage.client
    request = client.begin_prompt(session)
    client.wait_update(session, is_text)
    for _ in range(3):
        cancel(client, "session/cancel", session, request)
        cancel(client, "$/cancel_request", session, request)
    assert client.result(request, 10) == {"stopReason": "cancelled"}
    client.exchange.sound = False
    for _ in range(2):
        for method in METHODS:
            cancel(client, method, session, request)
        client.notify("session/cancel", {"sessionId": "unknown"})
        numbers: list[object] = [12345, "no such", None, ["odd"], {}, True]
        for odd in numbers:
            client.notify("$/cancel_request", {"requestId": odd})
        assert client.prompt(session) == "end_turn"


def test_one_session_is_cancelled_and_the_other_goes_on(stage: Stage) -> None:
    slow = {"text": "slow " * 20, "delay": 0.05, "chunks": 20}
    client = stage.client
    first, second = (stage.session(slow) for _ in range(2))
    requests = [client.begin_prompt(session) for session in (first, second)]
    for session in (first, second):
        client.wait_update(session, is_text)
    client.notify("session/cancel", {"sessionId": first})
    assert client.result(requests[0]) == {"stopReason": "cancelled"}
    assert client.result(requests[1]) == {"stopReason": "end_turn"}
    assert client.text(second) == "slow " * 20


def test_another_request_is_cancelled_or_done(stage: Stage) -> None:
    params = {"cwd": str(stage.project()), "mcpServers": []}
    request = stage.client.call("session/new", params)
    stage.client.notify("$/cancel_request", {"requestId": request})
    answer = stage.client.wait_for(lambda message: message.get("id") == request)
    # It may have been faster than the cancel.
    assert "result" in answer or answer["error"]["code"] == -32800
