"""The model's questions reach the person by a form, by a choice, or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, Json, merged_calls
from tests.e2e.conftest import Script, Start
from tests.e2e.test_commands import opened

pytestmark = pytest.mark.shared_agent

FORMS: Json = {"elicitation": {"form": {}}}
CHOICES = ["SQLite", "Postgres"]


def ask(question: str, choices: list[str] | None = None) -> Json:
    arguments: Json = {"question": question}
    if choices is not None:
        arguments["choices"] = choices
    return {"tool": "ask_user", "arguments": arguments}


def requests(client: Client, method: str) -> list[Json]:
    return [m["params"] for m in client.messages if m.get("method") == method]


def one_turn(
    start: Start,
    script: Script,
    project: Path,
    call: Json,
    answer: Callable[[Json], Json | None],
    capabilities: Json,
) -> tuple[Client, Json, str]:
    """Let the model ask; return the client, the call as it is shown, and the stop reason."""
    client = start(script({"calls": [call]}, {"text": "I see."}), answer=answer)
    session = opened(client, project, clientCapabilities=capabilities)
    reason = client.prompt(session)
    (shown,) = merged_calls(client.updates(session)).values()
    return client, shown, reason


def test_a_form_for_free_text(start: Start, script: Script, project: Path) -> None:
    def answer(request: Json) -> Json:
        assert request["method"] == "elicitation/create"
        return {"action": "accept", "content": {"answer": " shop "}}

    client, shown, reason = one_turn(
        start, script, project, ask("What is the package called?"), answer, FORMS
    )
    assert reason == "end_turn"
    (form,) = requests(client, "elicitation/create")
    assert form["mode"] == "form"
    assert form["message"] == "What is the package called?"
    assert form["toolCallId"] == shown["toolCallId"]
    assert form["requestedSchema"] == {
        "properties": {"answer": {"type": "string", "title": "Answer"}},
        "required": ["answer"],
    }
    assert (shown["status"], shown["title"]) == ("completed", "Ask: What is the package called?")
    assert shown["content"][-1]["content"]["text"] == "**shop**"


@pytest.mark.parametrize(
    ("content", "picked"),
    [
        ({"choice": "Postgres"}, "Postgres"),
        ({"choice": "Postgres", "answer": "DuckDB"}, "DuckDB"),
        ({"answer": "DuckDB"}, "DuckDB"),
    ],
)
def test_a_form_with_choices(
    start: Start, script: Script, project: Path, content: Json, picked: str
) -> None:
    client, shown, _ = one_turn(
        start,
        script,
        project,
        ask("Which database?", CHOICES),
        lambda request: {"action": "accept", "content": content},
        FORMS,
    )
    (form,) = requests(client, "elicitation/create")
    assert form["requestedSchema"]["properties"]["choice"]["enum"] == CHOICES
    assert shown["content"][-1]["content"]["text"] == f"**{picked}**"


@pytest.mark.parametrize(
    "reply",
    [
        {"action": "decline"},
        {"action": "cancel"},
        {"action": "_later"},
        {"action": "accept"},
        {"action": "accept", "content": {"answer": "  "}},
    ],
)
def test_a_form_that_is_not_filled_in_is_no_answer(
    start: Start, script: Script, project: Path, reply: Json
) -> None:
    client, shown, reason = one_turn(
        start, script, project, ask("Which?"), lambda request: reply, FORMS
    )
    assert reason == "end_turn"
    assert shown["status"] == "failed"
    assert "the user did not answer" in str(shown["content"])
    assert client.text(client.messages[1]["result"]["sessionId"]) == "I see."


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": {}}, {"elicitation": {"form": None}}])
def test_a_choice_without_forms(
    start: Start, script: Script, project: Path, capabilities: Json
) -> None:
    def answer(request: Json) -> Json:
        options = request["params"]["options"]
        assert [option["name"] for option in options] == [*CHOICES, "None of these"]
        assert [option["kind"] for option in options] == ["allow_once", "allow_once", "reject_once"]
        chosen = options[1]["optionId"]
        return {"outcome": {"outcome": "selected", "optionId": chosen}}

    client, shown, _ = one_turn(
        start, script, project, ask("Which database?", CHOICES), answer, capabilities
    )
    (question,) = requests(client, "session/request_permission")
    assert question["toolCall"]["toolCallId"] == shown["toolCallId"]
    assert question["toolCall"]["title"] == "Which database?"
    assert shown["content"][-1]["content"]["text"] == "**Postgres**"
    assert not requests(client, "elicitation/create")


def test_none_of_the_choices_is_no_answer(start: Start, script: Script, project: Path) -> None:
    def answer(request: Json) -> Json:
        chosen = request["params"]["options"][-1]["optionId"]
        return {"outcome": {"outcome": "selected", "optionId": chosen}}

    _, shown, reason = one_turn(start, script, project, ask("Which?", CHOICES), answer, {})
    assert (shown["status"], reason) == ("failed", "end_turn")


def test_a_cancelled_choice_ends_the_turn(start: Start, script: Script, project: Path) -> None:
    client, shown, reason = one_turn(
        start,
        script,
        project,
        ask("Which?", CHOICES),
        lambda request: {"outcome": {"outcome": "cancelled"}},
        {},
    )
    assert (shown["status"], reason) == ("failed", "cancelled")
    session = client.messages[1]["result"]["sessionId"]
    assert client.prompt(session, "again") == "end_turn"


@pytest.mark.parametrize("choices", [None, ["only"], ["a", "b", "c", "d", "e"]])
def test_without_a_way_to_ask_the_model_is_told_to_ask_in_text(
    start: Start, script: Script, project: Path, choices: list[str] | None
) -> None:
    client, shown, reason = one_turn(
        start, script, project, ask("Which?", choices), lambda request: None, {}
    )
    assert (shown["status"], reason) == ("failed", "end_turn")
    assert "end the turn with the question as your answer" in str(shown["content"])
    assert not requests(client, "session/request_permission")


def test_a_client_that_refuses_its_own_forms(start: Start, script: Script, project: Path) -> None:
    """The choice is asked in the other way."""
    holder: list[Client] = []

    def answer(request: Json) -> Any:
        if request["method"] == "elicitation/create":
            error = {"code": -32601, "message": "Unknown method."}
            holder[0].send({"jsonrpc": "2.0", "id": request["id"], "error": error})
            return None
        return {"outcome": {"outcome": "selected", "optionId": "0"}}

    client = start(script({"calls": [ask("Which?", CHOICES)]}, {"text": "I see."}), answer=answer)
    holder.append(client)
    session = opened(client, project, clientCapabilities=FORMS)
    assert client.prompt(session) == "end_turn"
    (shown,) = merged_calls(client.updates(session)).values()
    assert shown["content"][-1]["content"]["text"] == "**SQLite**"


@pytest.mark.parametrize("capabilities", [FORMS, {}])
def test_a_cancel_while_the_person_thinks(
    start: Start, script: Script, project: Path, capabilities: Json
) -> None:
    client = start(
        script({"calls": [ask("Which?", CHOICES)]}, {"text": "Later."}),
        answer=lambda request: None,
    )
    session = opened(client, project, clientCapabilities=capabilities)
    request = client.begin_prompt(session)
    asked = client.wait_for(
        lambda m: m.get("method") in ("elicitation/create", "session/request_permission")
    )
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(request)["stopReason"] == "cancelled"
    # The client is told that its answer is not waited for any more.
    client.wait_for(
        lambda m: m.get("method") == "$/cancel_request" and m["params"]["requestId"] == asked["id"]
    )


@pytest.mark.parametrize(
    "question", ["What is your GitHub password?", "Please paste the API key", "Which access token?"]
)
def test_secrets_are_never_asked_for(
    start: Start, script: Script, project: Path, question: str
) -> None:
    client, shown, _ = one_turn(start, script, project, ask(question), lambda request: None, FORMS)
    assert shown["status"] == "failed"
    assert "never ask for passwords" in str(shown["content"])
    assert not requests(client, "elicitation/create")


def test_a_question_runs_in_plan_mode_too(start: Start, script: Script, project: Path) -> None:
    client = start(
        script({"calls": [ask("Which?", CHOICES)]}, {"text": "I see."}),
        answer=lambda request: {"action": "accept", "content": {"choice": "SQLite"}},
        environment={"PUNIE_MODE": "plan"},
    )
    session = opened(client, project, clientCapabilities=FORMS)
    client.prompt(session)
    (shown,) = merged_calls(client.updates(session)).values()
    assert shown["status"] == "completed"
