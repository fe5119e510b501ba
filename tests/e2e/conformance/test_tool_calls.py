"""Tool calls as an IDE wants them: announced at once, ended always, whole and readable."""

from pathlib import Path
from typing import Any, get_args

import pytest

from punie.tools.presentation import ToolKind
from tests.e2e.client import Json, deny
from tests.e2e.conformance.conftest import Stage

KINDS = {
    "read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other",
}  # fmt: skip
PATHS = [
    ("read_file", {"path": "app.py"}, "read"),
    ("list_dir", {"path": "."}, "read"),
    ("edit_file", {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Ho"}]}, "edit"),
    ("write_file", {"path": "new.py", "content": "x = 1\n"}, "edit"),
    ("run_command", {"command": "echo out"}, "execute"),
    ("search", {"pattern": "greet"}, "search"),
]


def run(stage: Stage, *calls: Json, mode: str = "auto") -> tuple[Path, str]:
    project = stage.project({"calls": list(calls)}, {"text": "Done."})
    client = stage.client
    session = client.new_session(project)
    client.request("session/set_mode", {"sessionId": session, "modeId": mode})
    assert client.prompt(session) == "end_turn"
    return project, session


def call(tool: str, **arguments: Any) -> Json:
    return {"tool": tool, "arguments": arguments}


def statuses(stage: Stage, session: str) -> list[str]:
    return [
        update["status"]
        for update in stage.client.updates(session)
        if update["sessionUpdate"].startswith("tool_call") and "status" in update
    ]


def test_the_kinds_are_those_that_clients_know() -> None:
    # JetBrains' client drops a message whose kind it does not know.
    assert set(get_args(ToolKind)) <= KINDS


@pytest.mark.parametrize(("tool", "arguments", "kind"), PATHS)
def test_the_life_of_a_call(stage: Stage, tool: str, arguments: Json, kind: str) -> None:
    project, session = run(stage, {"tool": tool, "arguments": arguments})
    client = stage.client
    assert statuses(stage, session) == ["pending", "in_progress", "completed"]
    (announced,) = client.updates(session, "tool_call")
    assert announced["rawInput"] == arguments
    assert announced["name"] == tool
    (final,) = client.calls(session).values()
    assert final["kind"] == kind
    assert final["title"].strip()
    assert "\n" not in final["title"]
    assert final["content"]
    if "path" in arguments:
        (location,) = final["locations"]
        assert Path(location["path"]) == (project / arguments["path"]).resolve()
    for location in final.get("locations", []):
        assert Path(location["path"]).is_absolute()
        assert location.get("line") is None or location["line"] >= 1


def test_an_edit_shows_the_text_from_before(stage: Stage) -> None:
    edits = [{"old_text": "Hello", "new_text": "Servus"}]
    project, session = run(stage, call("edit_file", path="app.py", edits=edits))
    (final,) = stage.client.calls(session).values()
    (diff,) = [block for block in final["content"] if block["type"] == "diff"]
    assert diff["path"] == str(project / "app.py")
    assert diff["oldText"] == "def greet(name):\n    return 'Hello ' + name\n"
    assert diff["newText"] == (project / "app.py").read_text()


def test_a_new_file_has_no_text_from_before(stage: Stage) -> None:
    _, session = run(stage, call("write_file", path="new.py", content="x = 1\n"))
    (final,) = stage.client.calls(session).values()
    (diff,) = [block for block in final["content"] if block["type"] == "diff"]
    assert diff.get("oldText") is None
    assert diff["newText"] == "x = 1\n"


@pytest.mark.parametrize(
    "bad",
    [
        call("read_file", path="missing.py"),
        call("read_file", path="/etc/passwd"),
        call("read_file", nonsense=1),
        call("no_such_tool", a=1),
        call("edit_file", path="app.py", edits=[{"old_text": "absent", "new_text": "x"}]),
    ],
)
def test_a_call_that_fails_ends_too(stage: Stage, bad: Json) -> None:
    _, session = run(stage, bad)
    (final,) = stage.client.calls(session).values()
    assert final["status"] == "failed"
    assert final["content"]
    assert statuses(stage, session)[0] == "pending"


def test_many_calls_of_one_response_have_ids_of_their_own(stage: Stage) -> None:
    _, session = run(stage, *[call("write_file", path=f"{n}.py", content="x") for n in range(5)])
    calls = stage.client.calls(session)
    assert len(calls) == 5
    assert {each["status"] for each in calls.values()} == {"completed"}
    # All are announced before the first is run.
    assert statuses(stage, session)[:5] == ["pending"] * 5


def test_a_denied_call_never_runs(stage: Stage) -> None:
    stage.client.answer = deny
    calls = [call("write_file", path="new.py", content="x"), call("run_command", command="touch a")]
    project, session = run(stage, *calls, mode="ask")
    assert [each["status"] for each in stage.client.calls(session).values()] == ["failed"] * 2
    assert "in_progress" not in statuses(stage, session)
    assert not (project / "new.py").exists()
    assert not (project / "a").exists()


def test_a_question_comes_after_its_call_and_carries_it_whole(stage: Stage) -> None:
    _, session = run(stage, call("write_file", path="new.py", content="x = 1\n"), mode="ask")
    (question,) = stage.client.questions(session)
    (announced,) = stage.client.updates(session, "tool_call")
    asked = question["toolCall"]
    for key in ("toolCallId", "title", "kind", "status", "rawInput", "locations", "content"):
        assert asked[key] == announced[key]
    ids = [option["optionId"] for option in question["options"]]
    assert len(ids) == len(set(ids))
    kinds = {option["kind"] for option in question["options"]}
    assert {"allow_once", "reject_once"} <= kinds
    assert all(option["name"].strip() for option in question["options"])


def test_output_shows_while_the_command_runs(stage: Stage) -> None:
    command = call("run_command", command="echo fir''st; sleep 1.5; echo last")
    session = stage.session({"calls": [command]}, {"text": "Done."}, mode="auto")
    request = stage.client.begin_prompt(session)
    stage.client.wait_update(
        session,
        lambda update: (
            update["sessionUpdate"] == "tool_call_update"
            and "status" not in update
            and "first" in str(update["content"])
        ),
    )
    assert not any(message.get("id") == request for message in stage.client.messages)
    assert stage.client.result(request) == {"stopReason": "end_turn"}
    (final,) = stage.client.calls(session).values()
    assert final["status"] == "completed"
    assert "last" in str(final["content"])


def test_growing_output_is_not_sent_again_and_again(stage: Stage) -> None:
    command = "for i in $(seq 1 30); do seq 1 400; sleep 0.05; done"
    _, session = run(stage, call("run_command", command=command))
    updates = stage.client.updates(session, "tool_call_update")
    growing = [update for update in updates if "status" not in update]
    assert len(growing) <= 15
    texts = [update["content"][0]["content"]["text"] for update in growing]
    assert 0 < max(map(len, texts)) <= 8_000


def test_a_huge_result_stays_below_the_largest_message(stage: Stage) -> None:
    project = stage.project(
        {"calls": [call("write_file", path="big.txt", content="y" * 3_000_000)]}, {"text": "Done."}
    )
    (project / "big.txt").write_text("x" * 30_000_000)
    client = stage.client
    session = client.new_session(project)
    client.request("session/set_mode", {"sessionId": session, "modeId": "auto"})
    assert client.prompt(session) == "end_turn"
    assert max(len(str(update)) for update in client.updates(session)) < 33_554_432
