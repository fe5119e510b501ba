"""A prompt that takes long to read tells how far it is, and can be cancelled meanwhile."""

import re
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models

LONG = "Where is the total of the orders added up? " * 150
"""About 4,000 tokens of these models, which are read in several chunks; each is told here."""

_PROGRESS = re.compile(r"Reading the conversation: ([\d,]+) of ([\d,]+) tokens\.")


def progress(client: Client, session: str) -> list[tuple[int, int]]:
    """Return what was told so far: how many tokens were read, of how many."""
    texts = [u["content"]["text"] for u in client.updates(session, "agent_thought_chunk")]
    return [
        (int(match[1].replace(",", "")), int(match[2].replace(",", "")))
        for text in texts
        if (match := _PROGRESS.search(text))
    ]


@pytest.mark.slow
def test_it_tells_how_far_it_is_and_that_is_not_kept(
    run_model: RunModel, models: Models, project: Path, speaking_at_once: list[str]
) -> None:
    model = models.random()
    client = run_model(model, program=speaking_at_once, max_tokens=8)
    session = client.new_session(project)
    assert client.prompt(session, LONG) == "max_tokens"
    told = progress(client, session)
    assert len(told) > 2
    assert len({total for _, total in told}) == 1
    assert told == sorted(told)
    assert told[-1][0] < told[-1][1]
    client.kill()

    again = run_model(model)
    again.request("session/load", {"sessionId": session, "cwd": str(project), "mcpServers": []})
    assert again.updates(session, "user_message_chunk")
    assert again.updates(session, "agent_message_chunk")
    assert not progress(again, session)


@pytest.mark.slow
def test_a_cancel_does_not_wait_until_it_is_read(
    run_model: RunModel, models: Models, project: Path, speaking_at_once: list[str]
) -> None:
    client = run_model(models.random(), program=speaking_at_once, max_tokens=8)
    session = client.new_session(project)
    request = client.begin_prompt(session, LONG)
    client.wait_update(session, lambda update: "Reading the conv" in str(update.get("content")))
    before = len(progress(client, session))
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(request) == {"stopReason": "cancelled"}
    told = len(progress(client, session))
    assert told <= before + 2  # the chunk in hand, and what was on its way
    # The engine is free again, and the session goes on.
    other = client.new_session(project)
    assert client.prompt(other, "Good morning") == "max_tokens"
    assert len(progress(client, session)) == told
    assert client.prompt(session, "Never mind") == "max_tokens"
