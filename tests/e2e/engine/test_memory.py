"""What does not fit into memory is told with the cure, and whatever was taken is given back."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.client import Json, eventually
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models

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
