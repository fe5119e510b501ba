"""What does not fit into memory is told with the cure, and whatever was taken is given back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import Client, Json, eventually
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models
from tests.models.families import Size

WINDOW = 131_072
LITTLE = 0.012
"""Gigabytes: enough for the instructions of a session and some thousand tokens more."""
HUGE = "Where is the total of the orders added up? " * 1500


def test_a_prompt_that_memory_cannot_hold_is_told_and_the_session_goes_on(
    run_model: RunModel, models: Models, project: Path, usages: Callable[[str], list[Json]]
) -> None:
    client = run_model(models.random(window=WINDOW), memory_gb=LITTLE)
    session = client.new_session(project)
    assert client.prompt(session, HUGE) == "end_turn"
    told = client.text(session)
    assert "memory" in told
    assert "start a new session" in told
    assert told.strip().count("\n") == 0
    assert not usages(session)
    # What it could not read is left behind, as it is when a window is full.
    assert client.prompt(session, "Good morning") == "max_tokens"
    (usage,) = usages(session)
    assert usage["input_tokens"] < usage["context_size"] < WINDOW
    assert client.prompt(client.new_session(project), "Good evening") == "max_tokens"


def test_weights_are_released_when_nobody_asks_and_loaded_again(
    run_model: RunModel, models: Models, project: Path, logged: Callable[[str], int]
) -> None:
    questions = ("Good morning", "Good evening", "Good night")
    model = models.random()
    awake = run_model(model, max_tokens=40)
    session = awake.new_session(project)
    for question in questions:
        assert awake.prompt(session, question) == "max_tokens"
    expected = awake.text(session)
    awake.kill()

    client = run_model(model, max_tokens=40, idle_minutes=0.005)
    session = client.new_session(project)
    for turn, question in enumerate(questions):
        assert client.prompt(session, question) == "max_tokens"
        assert eventually(lambda: logged("weights released") > turn, 30)  # noqa: B023
    assert client.text(session) == expected
    lines = [u["content"]["text"] for u in client.updates(session, "agent_thought_chunk")]
    assert lines.count("Loading the model again…\n") == len(questions) - 1
    client.kill()
    again = run_model(model)
    again.request("session/load", {"sessionId": session, "cwd": str(project), "mcpServers": []})
    lines = [u["content"]["text"] for u in again.updates(session, "agent_thought_chunk")]
    assert "Loading the model again…\n" not in lines


WIDE = Size(hidden=384, heads=1, layers=2)
"""A model of eight megabytes; the bundled one has twelve."""


def choose(client: Client, session: str, model: Path | str) -> None:
    option = {"sessionId": session, "configId": "model", "value": str(model)}
    client.request("session/set_config_option", option)


@pytest.mark.slow
def test_models_that_do_not_fit_side_by_side_take_turns(
    run_model: RunModel, models: Models, project: Path, logged: Callable[[str], int]
) -> None:
    model = models.random(size=WIDE)
    client = run_model(model, max_tokens=40, memory_gb=0.027)
    session = client.new_session(project)
    assert client.prompt(session, "Good morning") == "max_tokens"
    choose(client, session, "punie-tiny")
    assert client.prompt(session, "What files are here?") == "end_turn"
    assert logged("weights released") == 1
    choose(client, session, model)
    assert client.prompt(session, "Good evening") == "max_tokens"
    assert logged("weights released") == 2


@pytest.mark.slow
def test_a_model_that_does_not_fit_beside_one_that_answers_is_told(
    run_model: RunModel, models: Models, project: Path
) -> None:
    client = run_model(models.random(size=WIDE), max_tokens=4096, memory_gb=0.019)
    busy, other = client.new_session(project), client.new_session(project)
    request = client.begin_prompt(busy, "Good morning")
    client.wait_update(busy, lambda update: update["sessionUpdate"] == "agent_message_chunk")
    choose(client, other, "punie-tiny")
    assert client.prompt(other, "What files are here?") == "end_turn"
    told = client.text(other)
    assert "beside the one that is answering" in told
    assert told.strip().count("\n") == 0
    client.notify("session/cancel", {"sessionId": busy})
    assert client.result(request) == {"stopReason": "cancelled"}
    assert client.prompt(other, "What files are here?") == "end_turn"
    assert "app.py" in client.text(other)
