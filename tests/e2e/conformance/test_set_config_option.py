"""`session/set_config_option`: every value, bad ones, and the echo that costs nothing."""

from typing import Any

import pytest

from tests.e2e.client import Client, Json, Refused
from tests.e2e.conformance.conftest import Stage, stage_environment
from tests.e2e.conftest import Start


def set_option(client: Client, session: str, option: str, value: object, **more: Any) -> Json:
    """Set an option; return all of them by id."""
    params = {"sessionId": session, "configId": option, "value": value, **more}
    result = client.request("session/set_config_option", params)
    return {entry["id"]: entry for entry in result["configOptions"]}


def opened(stage: Stage, **script: Any) -> Json:
    project = stage.project({"thought": "Hm.", "text": "Fine."}, repeat=True, **script)
    result = stage.client.request("session/new", {"cwd": str(project), "mcpServers": []})
    assert isinstance(result, dict)
    return result


def test_every_value_of_every_option(stage: Stage) -> None:
    result = opened(stage, thinking=True)
    session = result["sessionId"]
    ids = [option["id"] for option in result["configOptions"]]
    assert ids == ["mode", "model", "thought_level"]
    categories = [option["category"] for option in result["configOptions"]]
    assert categories == ids
    for option in result["configOptions"]:
        first = option["currentValue"]
        values = [choice["value"] for choice in option["options"]]
        for value in [*values, first]:
            options = set_option(stage.client, session, option["id"], value)
            assert options[option["id"]]["currentValue"] == value
            # The answer is always the whole list; another model may have other options.
            assert set(options) >= {"mode", "model"}


def test_the_mode_of_the_protocol_follows(stage: Stage) -> None:
    session = stage.session()
    set_option(stage.client, session, "mode", "auto")
    update = stage.client.wait_update(
        session, lambda update: update["sessionUpdate"] == "current_mode_update"
    )
    assert update["currentModeId"] == "auto"
    # The update follows the answer.
    kinds = [message.get("method", "answer") for message in stage.client.messages[-2:]]
    assert kinds == ["answer", "session/update"]


def test_another_model_answers_the_next_prompt(stage: Stage) -> None:
    session = stage.session({"text": "From the script."})
    options = set_option(stage.client, session, "model", "punie-tiny")
    assert options["model"]["currentValue"] == "punie-tiny"
    (script,) = [
        choice["value"]
        for choice in options["model"]["options"]
        if choice["value"].startswith("scripted:")
    ]
    set_option(stage.client, session, "model", script)
    stage.client.prompt(session)
    assert stage.client.text(session) == "From the script."


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", "yolo"),
        ("mode", ""),
        ("mode", 3),
        ("mode", None),
        ("mode", ["ask"]),
        ("model", "no/such-model"),
        ("model", "/etc"),
        ("model", "scripted:/etc/passwd"),
        ("thought_level", "enormous"),
        ("temperature", "1"),
        ("", "ask"),
    ],
)
def test_values_that_do_not_exist(stage: Stage, option: str, value: object) -> None:
    session = opened(stage, thinking=True)["sessionId"]
    with pytest.raises(Refused) as refused:
        set_option(stage.client, session, option, value)
    assert refused.value.code == -32602


def test_a_boolean_for_a_list(stage: Stage) -> None:
    session = stage.session()
    with pytest.raises(Refused, match="-32602"):
        set_option(stage.client, session, "mode", True, type="boolean")


def test_the_echo_before_a_prompt_costs_nothing(stage: Stage) -> None:
    result = opened(stage, thinking=True)
    session = result["sessionId"]
    stage.client.prompt(session)
    stage.client.initialize()
    stored, seen = stage.stored(session), len(stage.client.updates(session))
    for _ in range(3):
        for option in result["configOptions"]:
            options = set_option(stage.client, session, option["id"], option["currentValue"])
            assert list(options.values()) == result["configOptions"]
        params = {"sessionId": session, "modeId": result["modes"]["currentModeId"]}
        assert stage.client.request("session/set_mode", params) == {}
    stage.client.initialize()
    assert stage.stored(session) == stored
    assert len(stage.client.updates(session)) == seen


def test_an_echo_does_not_undo_what_the_agent_changed(start: Start, stage: Stage) -> None:
    client = start(environment=stage_environment(stage.folder))
    client.initialize("JetBrains.PyCharm")
    session = client.new_session(stage.project())
    assert set_option(client, session, "mode", "ask")["mode"]["currentValue"] == "ask"
    client.prompt(session, "/mode plan")
    changed = client.wait_update(
        session, lambda update: update["sessionUpdate"] == "config_option_update"
    )
    assert changed["configOptions"][0]["currentValue"] == "plan"
    assert client.updates(session, "current_mode_update")[-1]["currentModeId"] == "plan"
    # What the IDE still shows, sent before the next prompt, is no wish of the person.
    assert set_option(client, session, "mode", "ask")["mode"]["currentValue"] == "plan"
    # Sent again it is meant; and once the IDE has said the new value it is meant at once.
    assert set_option(client, session, "mode", "ask")["mode"]["currentValue"] == "ask"
    client.prompt(session, "/mode plan")
    assert set_option(client, session, "mode", "plan")["mode"]["currentValue"] == "plan"
    assert set_option(client, session, "mode", "ask")["mode"]["currentValue"] == "ask"


def test_a_client_that_sends_no_echoes_is_taken_at_its_word(stage: Stage) -> None:
    session = stage.session()
    stage.client.prompt(session, "/mode plan")
    assert set_option(stage.client, session, "mode", "ask")["mode"]["currentValue"] == "ask"
