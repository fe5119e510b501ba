"""What was acknowledged is there after `kill -9`, whatever the moment."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from punie.sessions.store import SessionStore

pytestmark = pytest.mark.anyio
ROUNDS = 12


def acknowledged_until_killed(path: Path, session_id: str, size: int, after: float) -> list[int]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.sessions.appender", str(path), session_id, str(size)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    seen = [child.stdout.readline()]  # the first append is done; from here on any moment will do
    timer = threading.Timer(after, child.kill)
    timer.start()
    seen += child.stdout.readlines()
    child.wait()
    timer.cancel()
    assert child.returncode == -9
    return [int(line) for line in seen if line.endswith("\n")]


async def test_every_acknowledged_append_survives(tmp_path: Path) -> None:
    path = tmp_path / "state" / "sessions.sqlite3"
    chance = random.Random(20260)
    promised = 0
    for round_number in range(ROUNDS):
        numbers = acknowledged_until_killed(
            path, "s", size=chance.choice([0, 100, 20_000]), after=chance.uniform(0.0, 0.08)
        )
        assert numbers, round_number
        promised = numbers[-1] + 1
        store = SessionStore(path)
        events = await store.events("s")
        await store.close()
        # One append may have been on its way: it is there whole or not at all.
        assert len(events) in (promised, promised + 1)
        assert [int(event.split(":")[0]) for event in events] == list(range(len(events)))
    assert promised > ROUNDS


async def test_two_processes_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.sessions.appender", str(path), name, "10"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    counts = []
    for child in children:
        assert child.stdout is not None
        counts.append([child.stdout.readline() for _ in range(200)][-1])
    for child in children:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    assert counts == ["199\n", "199\n"]
    store = SessionStore(path)
    for name in ("one", "two"):
        events = await store.events(name)
        assert len(events) >= 200
        assert [int(event.split(":")[0]) for event in events] == list(range(len(events)))
    await store.close()
