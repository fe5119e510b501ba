"""A model that never stops thinking still answers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import Json, messages_of
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models

TOKENS = 120


@pytest.mark.parametrize("thinking", ["on", "off"])
def test_thinking_ends_where_the_answer_needs_the_rest(
    run_model: RunModel,
    models: Models,
    project: Path,
    usages: Callable[[str], list[Json]],
    thinking: str,
) -> None:
    # Its template opens the thought; the model itself would never close it.
    client = run_model(models.random("qwen3", "strip"), max_tokens=TOKENS)
    session = client.new_session(project)
    client.request(
        "session/set_config_option",
        {"sessionId": session, "configId": "thought_level", "value": thinking},
    )
    before = len(client.updates(session))
    assert client.prompt(session, "Think about this") == "max_tokens"
    said = messages_of(client.updates(session)[before:])
    answers = [text for kind, _, text in said if kind == "agent_message_chunk"]
    thoughts = [
        text
        for kind, message_id, text in said
        if kind == "agent_thought_chunk" and not message_id.startswith("notice")
    ]
    assert len(answers) == 1
    assert len(thoughts) == (thinking == "on")
    assert not any(mark in text for _, _, text in said for mark in ("<think>", "</think>"))
    assert usages(session)[0]["output_tokens"] == TOKENS
