"""The planning tool's plan is shown, comes back, and can be shown and cleared by /plan."""

from pathlib import Path

import pytest

from tests.e2e.client import Json, merged_calls
from tests.e2e.conftest import Script, Start
from tests.e2e.test_commands import load, opened, said

pytestmark = pytest.mark.shared_agent

STEPS = [
    {"content": "Read the code", "status": "completed"},
    {"content": "Change it", "status": "in_progress", "priority": "high"},
    {"content": "Run the tests", "status": "pending"},
]
LATER = [{**step, "status": "completed"} for step in STEPS]


def planned(*steps: Json) -> Json:
    return {"tool": "update_plan", "arguments": {"steps": list(steps)}}


def entries(*steps: Json) -> list[Json]:
    return [{"priority": "medium", **step} for step in steps]


def test_the_whole_plan_is_shown_and_replayed_after_kill_9(
    start: Start, script: Script, project: Path
) -> None:
    model = script(
        {"text": "Plan.", "calls": [planned(*STEPS)]},
        {"text": "Working.", "calls": [planned(*LATER)]},
        {"text": "Done."},
        {"text": "Still here."},
    )
    client = start(model)
    session = opened(client, project)
    client.prompt(session, "Do it in steps.")
    plans = client.updates(session, "plan")
    assert [plan["entries"] for plan in plans] == [entries(*STEPS), entries(*LATER)]
    calls = list(merged_calls(client.updates(session)).values())
    assert [(call["kind"], call["status"], call["title"]) for call in calls] == [
        ("think", "completed", "Plan: Change it"),
        ("think", "completed", "Plan shown: 3 of 3 done"),
    ]
    # Nobody is asked about a plan.
    assert not [m for m in client.messages if m.get("method") == "session/request_permission"]
    client.kill()
    client = start(model)
    client.initialize()
    load(client, session, project)
    assert client.updates(session, "plan")[-1]["entries"] == entries(*LATER)
    assert said(client, session, "/plan").startswith("- [x] Read the code\n- [x] Change it (high")
    assert said(client, session, "/plan clear") == "The plan is cleared."
    assert client.updates(session, "plan")[-1]["entries"] == []
    client.kill()
    client = start(model)
    client.initialize()
    load(client, session, project)
    assert client.updates(session, "plan")[-1]["entries"] == []
    assert "There is no plan now" in said(client, session, "/plan")
    assert "no plan to clear" in said(client, session, "/plan clear")
    assert said(client, session, "go on") == "Still here."


def test_plan_tells_of_the_mode_of_that_name(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "Hi."}))
    session = opened(client, project)
    for text in ("/plan", "/plan the work"):
        assert "`/mode plan`" in said(client, session, text)


def test_plans_that_cannot_be_shown_are_refused(
    start: Start, script: Script, project: Path
) -> None:
    client = start(
        script(
            {
                "calls": [
                    planned({"content": " ", "status": "pending"}),
                    planned({"content": "Go", "status": "doing"}),
                ]
            },
            {"text": "I see."},
        )
    )
    session = opened(client, project)
    client.prompt(session)
    assert not client.updates(session, "plan")
    empty, wrong = merged_calls(client.updates(session)).values()
    assert (empty["status"], wrong["status"]) == ("failed", "failed")
    assert "a step has no content" in str(empty)
    assert "status" in str(wrong)
