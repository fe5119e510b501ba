"""`session/prompt`: every kind of block, and those that cannot be read."""

import base64
from pathlib import Path

import pytest

from tests.e2e.client import Client, Json, Refused
from tests.e2e.conformance.conftest import Stage

BLOB = base64.b64encode(b"\x00\x01").decode()
TEXT = {"type": "text", "text": "Explain"}


def prompt(client: Client, session: str, *blocks: object) -> Json:
    params = {"sessionId": session, "prompt": list(blocks)}
    result = client.request("session/prompt", params)
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize(
    "blocks",
    [
        [TEXT],
        [TEXT, TEXT],
        [{"type": "text", "text": "x" * 2_000_000}],
        [{"type": "text", "text": "ünï 🐍 \u202e \x00 \x1b[31m"}],
        [{**TEXT, "annotations": {"audience": ["user"], "priority": 1}, "_meta": {"a": 1}}],
        [{"type": "resource_link", "uri": "file:///a.py", "name": "a.py"}],
        [{"type": "resource_link", "uri": "https://example.org", "name": "x", "size": 3}],
        [TEXT, {"type": "resource", "resource": {"uri": "file:///a.py", "text": "a = 1"}}],
        [
            TEXT,
            {
                "type": "resource",
                "resource": {"uri": "file:///s#L1:9", "text": "{}", "mimeType": "text/json"},
            },
        ],
    ],
)
def test_blocks_that_are_read(stage: Stage, blocks: list[Json]) -> None:
    session = stage.session()
    assert prompt(stage.client, session, *blocks) == {"stopReason": "end_turn"}


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [{"type": "text", "text": ""}],
        [{"type": "text", "text": " \n\t"}],
        [TEXT, {"type": "image", "mimeType": "image/png", "data": BLOB}],
        [{"type": "image", "mimeType": "image/png", "data": BLOB, "uri": "file:///a.png"}],
        [{"type": "audio", "mimeType": "audio/wav", "data": BLOB}],
        [{"type": "resource", "resource": {"uri": "file:///a.bin", "blob": BLOB}}],
    ],
)
def test_blocks_that_cannot_be_read_are_refused_in_a_sentence(
    stage: Stage, blocks: list[Json]
) -> None:
    session = stage.session()
    with pytest.raises(Refused) as refused:
        prompt(stage.client, session, *blocks)
    assert refused.value.code == -32602
    assert prompt(stage.client, session, TEXT) == {"stopReason": "end_turn"}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "novel", "text": "x"},
        {"type": None},
        {"text": "no type"},
        {},
        "text",
        7,
        None,
        {"type": "text"},
        {"type": "text", "text": 5},
        {"type": "resource_link", "name": "no uri"},
        {"type": "resource", "resource": {}},
    ],
)
def test_blocks_of_unknown_kinds_are_refused_in_a_sentence(stage: Stage, block: object) -> None:
    session = stage.session()
    with pytest.raises(Refused) as refused:
        prompt(stage.client, session, TEXT, block)
    assert refused.value.code == -32602
    assert "prompt" in refused.value.message
    assert prompt(stage.client, session, TEXT) == {"stopReason": "end_turn"}


def test_links_and_attachments_reach_the_model_and_the_replay(stage: Stage) -> None:
    project = stage.project()
    session = stage.client.new_session(project)
    blocks = [
        TEXT,
        {"type": "resource_link", "uri": Path(project / "app.py").as_uri(), "name": "app.py"},
        {"type": "resource", "resource": {"uri": "file:///n.txt", "text": "swordfish"}},
    ]
    prompt(stage.client, session, *blocks)
    stage.open("session/load", session, project)
    shown = [update["content"] for update in stage.client.updates(session, "user_message_chunk")]
    assert shown == blocks


def test_unknown_sessions(stage: Stage) -> None:
    for session in ("", "no-such-session"):
        with pytest.raises(Refused) as refused:
            prompt(stage.client, session, TEXT)
        assert refused.value.code == -32002
