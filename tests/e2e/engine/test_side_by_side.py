"""Two sessions of one process share a model, and neither is hurt by the other."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.client import Client, Json
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models

TOKENS = 600


def streaming(client: Client, session: str) -> None:
    client.wait_update(session, lambda update: update["sessionUpdate"] == "agent_message_chunk")


def test_both_stream_and_the_end_of_one_leaves_the_other(
    run_model: RunModel, models: Models, project: Path, usages: Callable[[str], list[Json]]
) -> None:
    client = run_model(models.random(), max_tokens=TOKENS)
    kept, ended, alone = (client.new_session(project) for _ in range(3))
    kept_request = client.begin_prompt(kept, "Good morning")
    ended_request = client.begin_prompt(ended, "Good evening")
    streaming(client, ended)
    streaming(client, kept)
    client.notify("session/cancel", {"sessionId": ended})
    assert client.result(ended_request) == {"stopReason": "cancelled"}
    assert client.result(kept_request) == {"stopReason": "max_tokens"}
    assert usages(kept)[0]["output_tokens"] == TOKENS
    assert len(client.text(ended)) < len(client.text(kept))
    # Sharing the model's passes changed nothing of what it wrote.
    assert client.prompt(alone, "Good morning") == "max_tokens"
    assert client.text(alone) == client.text(kept)
    # The one that was ended goes on.
    assert client.prompt(ended, "Once more") == "max_tokens"


def test_one_that_reads_a_long_prompt_does_not_hold_up_one_that_writes(
    run_model: RunModel, models: Models, project: Path
) -> None:
    client = run_model(models.random(), max_tokens=100)
    writing, reading = client.new_session(project), client.new_session(project)
    assert client.prompt(writing, "Good morning") == "max_tokens"
    request = client.begin_prompt(reading, "Where is the total of the orders added up? " * 300)
    assert client.prompt(writing, "Good evening") == "max_tokens"
    # It began later and was done before the other had read its prompt.
    assert not client.updates(reading, "agent_message_chunk")
    client.notify("session/cancel", {"sessionId": reading})
    assert client.result(request) == {"stopReason": "cancelled"}
