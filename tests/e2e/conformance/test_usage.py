"""`usage_update`: after each model call, how full the window is."""

from tests.e2e.conformance.conftest import Stage

LIST = {"tool": "list_dir", "arguments": {"path": "."}}


def test_one_after_each_model_call(stage: Stage) -> None:
    session = stage.session(
        {"calls": [LIST]},
        {"calls": [{"tool": "read_file", "arguments": {"path": "app.py"}}]},
        {"text": "Done."},
    )
    stage.client.prompt(session)
    usage = stage.client.updates(session, "usage_update")
    assert len(usage) == 3
    assert all(0 < update["used"] < update["size"] for update in usage)
    used = [update["used"] for update in usage]
    assert used == sorted(used)
    # Each comes when its model call ends, before the call that the model asked for runs.
    kinds = [
        "usage" if update["sessionUpdate"] == "usage_update" else update.get("status")
        for update in stage.client.updates(session)
    ]
    order = [kind for kind in kinds if kind in ("usage", "completed")]
    assert order == ["usage", "completed", "usage", "completed", "usage"]


def test_one_after_a_cancelled_turn_is_no_duty(stage: Stage) -> None:
    session = stage.session({"text": "slow " * 50, "delay": 0.1, "chunks": 50}, {"text": "Next."})
    request = stage.client.begin_prompt(session)
    stage.client.wait_update(session, lambda update: "slow" in str(update.get("content")))
    stage.client.notify("session/cancel", {"sessionId": session})
    assert stage.client.result(request) == {"stopReason": "cancelled"}
    stage.client.prompt(session)
    assert stage.client.updates(session, "usage_update")
