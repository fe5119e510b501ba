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


def test_thinking_is_switched(stage: Stage) -> None:
    session = opened(stage, thinking=True)["sessionId"]
    set_option(stage.client, session, "thought_level", "off")
    stage.client.prompt(session)
    assert "Hm." not in thoughts(stage.client, session)
    set_option(stage.client, session, "thought_level", "on")
    stage.client.prompt(session)
    assert "Hm." in thoughts(stage.client, session)


def test_a_model_whose_thinking_is_fixed_has_no_such_option(stage: Stage) -> None:
    result = opened(stage)
    assert [option["id"] for option in result["configOptions"]] == ["mode", "model"]
    with pytest.raises(Refused, match="-32602"):
        set_option(stage.client, result["sessionId"], "thought_level", "on")


def test_boolean_options_are_for_clients_that_offer_them(start: Start, stage: Stage) -> None:
    client = start(environment=stage_environment(stage.folder))
    client.initialize(clientCapabilities={"session": {"configOptions": {"boolean": {}}}})
    project = stage.project({"thought": "Hm.", "text": "Fine."}, repeat=True, thinking=True)
    result = client.request("session/new", {"cwd": str(project), "mcpServers": []})
    session = result["sessionId"]
    (option,) = [each for each in result["configOptions"] if each["id"] == "thought_level"]
    assert (option["type"], option["currentValue"]) == ("boolean", True)
    options = set_option(client, session, "thought_level", False, type="boolean")
    assert options["thought_level"]["currentValue"] is False
    client.prompt(session)
    assert "Hm." not in thoughts(client, session)


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


def thoughts(client: Client, session: str) -> str:
    chunks = client.updates(session, "agent_thought_chunk")
    return "".join(chunk["content"]["text"] for chunk in chunks)
