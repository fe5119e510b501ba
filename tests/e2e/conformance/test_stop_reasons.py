"""All five stop reasons, and that the next turn works after each."""

import pytest

from tests.e2e.client import Json
from tests.e2e.conformance.conftest import Stage
from tests.e2e.conftest import Script, Start

LIST = {"tool": "list_dir", "arguments": {"path": "."}}


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"text": "Done."}, "end_turn"),
        ({"text": "Cut o", "finish": "length"}, "max_tokens"),
        ({"calls": [LIST], "finish": "length"}, "max_tokens"),
        ({"text": "It broke", "finish": "error"}, "end_turn"),
    ],
)
def test_how_a_response_ends_the_turn(stage: Stage, response: Json, reason: str) -> None:
    session = stage.session(response, {"text": "Next."})
    assert stage.client.prompt(session) == reason
    assert stage.client.prompt(session) == "end_turn"
    assert stage.client.text(session).endswith("Next.")


@pytest.mark.parametrize("text", ["", "I would rather not."])
def test_a_refusal(stage: Stage, text: str) -> None:
    session = stage.session({"text": text, "finish": "content_filter"})
    assert stage.client.prompt(session) == "refusal"
    assert stage.client.prompt(session) == "refusal"
    assert stage.client.text(session) == text * 2


def test_a_model_that_says_nothing(stage: Stage) -> None:
    session = stage.session({})
    assert stage.client.prompt(session) == "end_turn"
    assert "no answer" in stage.client.text(session)


def test_a_refused_turn_is_not_sent_again(stage: Stage) -> None:
    # The protocol: the prompt and everything after it are not part of the next one.
    refused = {"text": "No.", "finish": "content_filter"}
    project = stage.project({"text": "First."}, refused, {"text": "Never reached."})
    session = stage.client.new_session(project)
    assert stage.client.prompt(session) == "end_turn"
    for _ in range(2):
        # The script counts the responses that the model is shown, so it refuses again.
        assert stage.client.prompt(session) == "refusal"
    stage.open("session/load", session, project)
    assert stage.client.prompt(session) == "refusal"


def test_too_many_model_calls(start: Start, script: Script, stage: Stage) -> None:
    calls = [
        {"calls": [{"tool": "list_dir", "arguments": {"path": path}}]}
        for path in (".", "./", "./.")
    ]
    client = start(script(*calls, repeat=True), environment={"PUNIE_MAX_REQUESTS": "3"})
    client.initialize()
    session = client.new_session(stage.project())
    assert client.prompt(session) == "max_turn_requests"
    assert len(client.updates(session, "usage_update")) == 3
    assert client.prompt(session) == "max_turn_requests"


def test_a_model_in_circles_is_stopped(stage: Stage) -> None:
    session = stage.session({"calls": [LIST]}, repeat=True)
    assert stage.client.prompt(session) == "end_turn"
    assert len(stage.client.calls(session)) == 5
    assert "same list_dir call 5 times" in stage.client.text(session)


def test_cancelled(stage: Stage) -> None:
    session = stage.session({"text": "slow " * 50, "delay": 0.02, "chunks": 50}, {"text": "Next."})
    request = stage.client.begin_prompt(session)
    stage.client.notify("session/cancel", {"sessionId": session})
    assert stage.client.result(request) == {"stopReason": "cancelled"}
    assert stage.client.prompt(session) == "end_turn"


def test_a_model_that_repeats_itself_is_stopped_and_tries_once_more(stage: Stage) -> None:
    looping = {"text": "I should look at the file once more. " * 400, "chunks": 400}
    call = {"tool": "write_file", "arguments": {"path": "a", "content": "to do, later on\n" * 900}}
    project = stage.project(
        looping, {"text": "Enough."}, {"calls": [call], "argument_chunks": 300}, {"text": "Next."}
    )
    session = stage.client.new_session(project)
    assert stage.client.prompt(session) == "end_turn"
    shown = stage.client.text(session)
    assert shown.startswith("I should look")
    assert len(shown) < 5_000
    assert "tries once more" in shown
    assert shown.endswith("Enough.")
    stage.open("session/load", session, project)
    # Nothing is left of a response that was nothing but that call, so the script makes it again.
    assert stage.client.prompt(session) == "end_turn"
    assert "repeated itself again" in stage.client.text(session)
    assert {call["status"] for call in stage.client.calls(session).values()} == {"failed"}
    assert not (project / "a").exists()
