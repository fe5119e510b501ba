"""Conversations beyond a model's window go on without their oldest part, or are told off."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.client import Json
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models

WINDOW = 8192
PART = "Where is the total of the orders added up? " * 80
"""About a third of the window."""


def test_old_turns_leave_a_full_window(
    run_model: RunModel, models: Models, project: Path, usages: Callable[[str], list[Json]]
) -> None:
    client = run_model(models.random(window=WINDOW), max_tokens=40)
    session = client.new_session(project)
    for _ in range(3):
        assert client.prompt(session, PART) == "max_tokens"
    thoughts = client.updates(session, "agent_thought_chunk")
    gone = [u for u in thoughts if "left the model's context" in u["content"]["text"]]
    assert gone
    used = [usage["context_tokens"] for usage in usages(session)]
    assert len(used) == 3
    assert max(used) < WINDOW
    assert used != sorted(used)


def test_a_prompt_larger_than_the_window_is_told_and_the_session_goes_on(
    run_model: RunModel, models: Models, project: Path
) -> None:
    client = run_model(models.random(window=WINDOW), max_tokens=40)
    session = client.new_session(project)
    assert client.prompt(session, PART * 5) == "end_turn"
    told = client.text(session)
    assert "reads at most" in told
    assert told.strip().count("\n") == 0
    assert client.prompt(session, "Good morning") == "max_tokens"
    assert client.text(session) != told
