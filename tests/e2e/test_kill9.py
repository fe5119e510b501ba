"""Killed at random points of a turn, a session shows everything that the client had seen."""

import random
import time
from pathlib import Path

import pytest

from tests.e2e.client import Client, Json, merged_calls, messages_of
from tests.e2e.conftest import Script, Start

ROUNDS = 50
ROUNDS_PER_SESSION = 10


def seen(client: Client, session: str) -> tuple[dict[tuple[str, str], str], dict[str, Json]]:
    updates = client.updates(session)
    texts = {(kind, key): text for kind, key, text in messages_of(updates)}
    return texts, merged_calls(updates)


def is_of_the_turn(message: Json) -> bool:
    if message.get("method") != "session/update":
        return False
    # The commands come right after the session was opened, and then perhaps after the prompt.
    kind = message["params"]["update"]["sessionUpdate"]
    return bool(kind != "available_commands_update")


@pytest.mark.slow
def test_kill_9_at_random_points(start: Start, script: Script, project: Path) -> None:
    command = {"tool": "run_command", "arguments": {"command": "echo one; sleep 0.05; echo two"}}
    read = {"tool": "read_file", "arguments": {"path": "app.py"}}
    write = {"tool": "write_file", "arguments": {"path": "out.txt", "content": "line\n" * 20}}
    model = script(
        {
            "thought": "Let me think. " * 5,
            "text": "First I look. " * 5,
            "delay": 0.005,
            "calls": [read],
        },
        {"text": "Then I write. " * 20, "delay": 0.01, "chunks": 10, "calls": [write, command]},
        {"text": "That was it. " * 20, "delay": 0.01, "chunks": 10},
        repeat=True,
    )
    chance = random.Random(20)
    texts: dict[tuple[str, str], str] = {}
    calls: dict[str, Json] = {}
    session = ""
    client = start(model, environment={"PUNIE_MODE": "auto"})
    client.initialize()
    for number in range(ROUNDS):
        if number % ROUNDS_PER_SESSION == 0:
            session = client.new_session(project)
            texts, calls = {}, {}
        else:
            client.request(
                "session/load", {"sessionId": session, "cwd": str(project), "mcpServers": []}
            )
        replayed_texts, replayed_calls = seen(client, session)
        for key, text in texts.items():
            assert replayed_texts.get(key, "").startswith(text), (number, key)
        for call_id, call in calls.items():
            again = replayed_calls[call_id]
            assert again["title"] == call["title"] or call["status"] != "completed"
            assert again["rawInput"] == call["rawInput"]
            if call["status"] in ("completed", "failed"):
                for name in ("status", "content", "locations"):
                    assert again.get(name) == call.get(name), (number, name)
            assert again["status"] in ("completed", "failed")
        before = len(client.messages)
        client.begin_prompt(session, f"round {number}")
        client.wait_for(is_of_the_turn, after=before)
        # The turn takes about half a second from its first update.
        time.sleep(chance.uniform(0.0, 0.5))
        client.process.kill()
        client.process.wait()
        client.wait_read()
        texts, calls = seen(client, session)
        assert texts
        client = start(model, environment={"PUNIE_MODE": "auto"})
        client.initialize()
