"""Killed at random points of a turn, a session shows everything that the client had seen."""

import random
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.client import Client, Json, merged_calls, messages_of
from tests.e2e.conftest import Script, Start

KILLS = 25
SESSIONS = 2
KILLS_WITH_THE_SAME_SESSIONS = 9


@dataclass
class Seen:
    """What the client saw of one session before its process was killed."""

    texts: dict[tuple[str, str], str]
    calls: dict[str, Json]

    @classmethod
    def by(cls, client: Client, session: str) -> "Seen":
        updates = client.updates(session)
        texts = {(kind, key): text for kind, key, text in messages_of(updates)}
        return cls(texts, merged_calls(updates))

    def is_in(self, replayed: "Seen") -> None:
        for key, text in self.texts.items():
            assert replayed.texts.get(key, "").startswith(text), key
        for call_id, call in self.calls.items():
            again = replayed.calls[call_id]
            assert again["title"] == call["title"] or call["status"] != "completed"
            assert again["rawInput"] == call["rawInput"]
            if call["status"] in ("completed", "failed"):
                for name in ("status", "content", "locations"):
                    assert again.get(name) == call.get(name), name
            assert again["status"] in ("completed", "failed")


def is_of_a_turn(message: Json, session: str) -> bool:
    if message.get("method") != "session/update" or message["params"]["sessionId"] != session:
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
    sessions: dict[str, Seen] = {}
    client = start(model, environment={"PUNIE_MODE": "auto"})
    client.initialize()
    for kill in range(KILLS):
        if kill % KILLS_WITH_THE_SAME_SESSIONS == 0:
            sessions = {client.new_session(project): Seen({}, {}) for _ in range(SESSIONS)}
        else:
            for session, before in sessions.items():
                opened = {"sessionId": session, "cwd": str(project), "mcpServers": []}
                client.request("session/load", opened)
                before.is_in(Seen.by(client, session))
        for session in sessions:
            before_prompt = len(client.messages)
            client.begin_prompt(session, f"kill {kill}")
            client.wait_for(partial(is_of_a_turn, session=session), after=before_prompt)
            # A turn takes about half a second from its first update, so the two are killed at
            # different points of theirs.
            time.sleep(chance.uniform(0.0, 0.5 / SESSIONS))
        client.process.kill()
        client.process.wait()
        client.wait_read()
        sessions = {session: Seen.by(client, session) for session in sessions}
        assert all(seen.texts for seen in sessions.values())
        client = start(model, environment={"PUNIE_MODE": "auto"})
        client.initialize()
