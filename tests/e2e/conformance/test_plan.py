"""`plan`: the model's steps, whole each time."""

from tests.e2e.client import Json
from tests.e2e.conformance.conftest import Stage


def step(text: str, status: str) -> Json:
    return {"content": text, "status": status}


def plan(*steps: Json) -> Json:
    return {"calls": [{"tool": "update_plan", "arguments": {"steps": list(steps)}}]}


def test_the_whole_list_each_time(stage: Stage) -> None:
    project = stage.project(
        plan(step("Look", "in_progress"), step("Change", "pending")),
        plan(step("Look", "completed"), step("Change", "in_progress")),
        plan(step("Look", "completed"), step("Change", "completed")),
        {"text": "Done."},
    )
    client = stage.client
    session = client.new_session(project)
    assert client.prompt(session) == "end_turn"
    shown = [
        [(entry["content"], entry["status"]) for entry in update["entries"]]
        for update in client.updates(session, "plan")
    ]
    assert shown == [
        [("Look", "in_progress"), ("Change", "pending")],
        [("Look", "completed"), ("Change", "in_progress")],
        [("Look", "completed"), ("Change", "completed")],
    ]
    assert client.questions(session) == []
    # In a replay only the plan as it stands counts.
    before = len(client.updates(session, "plan"))
    stage.open("session/load", session, project)
    (again,) = client.updates(session, "plan")[before:]
    assert again == client.updates(session, "plan")[before - 1]


def test_a_plan_that_makes_no_sense_is_told_the_model(stage: Stage) -> None:
    session = stage.session(plan({"content": 3, "status": "done"}), {"text": "Sorry."})
    assert stage.client.prompt(session) == "end_turn"
    assert stage.client.updates(session, "plan") == []
    (call,) = stage.client.calls(session).values()
    assert call["status"] == "failed"
