"""A draft model changes no answer, and one that cannot be used keeps nobody from working."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models

QUESTIONS = ("Good morning", "Good evening")
_PLAIN: list[str] = []
"""What the model answers without a draft model, found out once."""


def answers(client: Client, project: Path) -> list[str]:
    session = client.new_session(project)
    for question in QUESTIONS:
        assert client.prompt(session, question) == "max_tokens"
    chunks = client.updates(session, "agent_message_chunk")
    texts: dict[str, str] = {}
    for chunk in chunks:
        if not chunk["messageId"].startswith("notice"):
            texts[chunk["messageId"]] = texts.get(chunk["messageId"], "") + chunk["content"]["text"]
    return list(texts.values())


def notices(client: Client) -> list[str]:
    """Return what was told in the chat of any session that is no answer."""
    return [
        update["content"]["text"]
        for message in client.messages
        if message.get("method") == "session/update"
        and (update := message["params"]["update"])["sessionUpdate"] == "agent_message_chunk"
        and update["messageId"].startswith("notice")
    ]


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe"])
def test_its_guesses_change_no_answer(
    run_model: RunModel, models: Models, project: Path, family: str
) -> None:
    model = models.random("qwen3")
    if not _PLAIN:
        plain = run_model(model)
        _PLAIN.extend(answers(plain, project))
        plain.kill()
    expected = list(_PLAIN)
    assert len(expected) == len(QUESTIONS)
    # One that is right every time, and one that is hardly ever right.
    draft = model if family == "qwen3" else models.random("qwen3_moe", seed=5)
    client = run_model(model, draft_model=draft)
    assert answers(client, project) == expected
    assert not notices(client)


def foreign(models: Models) -> str:
    return "punie-tiny"


def missing(models: Models) -> str:
    return "/no/such/draft-model"


def cut_off(models: Models) -> str:
    directory = models.copy(models.random(seed=3), "draft-cut-off")
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    return str(directory)


def untrimmable(models: Models) -> str:
    return str(models.random("qwen3_next"))


def unknown(models: Models) -> str:
    directory = models.copy(models.random(seed=3), "draft-unknown")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "model_type": "qwen99"}))
    return str(directory)


@pytest.mark.parametrize("spoiled", [foreign, missing, cut_off, untrimmable, unknown])
def test_one_that_cannot_be_used_is_told_once_and_left_out(
    run_model: RunModel, models: Models, project: Path, spoiled: Callable[[Models], str]
) -> None:
    draft = spoiled(models)
    client = run_model(models.random(), draft_model=draft)
    session = client.new_session(project)
    assert client.prompt(session, "Good morning") == "max_tokens"
    assert client.prompt(session, "Good evening") == "max_tokens"
    (told,) = notices(client)
    assert "draft" in told
    assert "draft_model" in told  # the setting, where it can be cured
    assert told.strip().count("\n") == 0
    # The whole conversation is there, in another process too.
    client.kill()
    again = run_model(models.random())
    again.request("session/load", {"sessionId": session, "cwd": str(project), "mcpServers": []})
    assert len(notices(again)) == 1
