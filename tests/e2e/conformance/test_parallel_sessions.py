"""Sessions of one process run at the same time and never mix."""

from tests.e2e.conformance.conftest import Stage

SESSIONS = 5


def test_nothing_mixes(stage: Stage) -> None:
    client = stage.client
    sessions = {}
    for number in range(SESSIONS):
        word = f"word{number} "
        edits = [{"old_text": "Hello", "new_text": f"Hello{number}"}]
        edit = {"tool": "edit_file", "arguments": {"path": "app.py", "edits": edits}}
        project = stage.project(
            {"text": word * 20, "delay": 0.02, "chunks": 20, "calls": [edit]},
            {"text": f"end{number}"},
        )
        session = client.new_session(project)
        mode = "auto" if number % 2 else "plan"
        client.request("session/set_mode", {"sessionId": session, "modeId": mode})
        sessions[session] = (project, number)
    requests = [client.begin_prompt(session) for session in sessions]
    for request in requests:
        assert client.result(request) == {"stopReason": "end_turn"}
    ids: set[str] = set()
    for session, (project, number) in sessions.items():
        assert client.text(session) == f"word{number} " * 20 + f"end{number}"
        # Only where the session's own mode allowed it was the session's own file changed.
        assert (f"Hello{number}" in (project / "app.py").read_text()) == bool(number % 2)
        calls = client.calls(session)
        assert len(calls) == 1
        assert not ids & set(calls)
        ids |= set(calls)
        assert all(str(project) in str(call["locations"]) for call in calls.values())


def test_two_sessions_in_one_folder(stage: Stage) -> None:
    project = stage.project({"text": "One."}, {"text": "Two."})
    first, second = (stage.client.new_session(project) for _ in range(2))
    stage.client.prompt(first)
    stage.client.prompt(first)
    stage.client.prompt(second)
    assert stage.client.text(first) == "One.Two."
    assert stage.client.text(second) == "One."
