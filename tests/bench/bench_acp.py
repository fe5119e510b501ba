"""What Punie itself adds to a prompt: the scripted model answers at once.

Prints the medians, in milliseconds, of `session/new`, of a prompt until its first chunk and of a
prompt until its end, in a new session and in one of 2,000 events, and of a cancel in the middle of
an answer until the prompt is answered, with their limits:

    python tests/bench/bench_acp.py [--runs 50]
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

NEW_LIMIT = 50.0
FIRST_LIMIT = 20.0
END_LIMIT = 40.0
CANCEL_LIMIT = 100.0
EVENTS = 2_000

Json = dict[str, Any]


class Agent:
    """The installed agent over real pipes, read without threads so that nothing is added."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._number = 0

    def call(self, method: str, params: Json) -> Json:
        """Send a request and return its result."""
        *_, (_, answer) = self.stream(method, params)
        assert "result" in answer, answer
        result = answer["result"]
        assert isinstance(result, dict)
        return result

    def stream(self, method: str, params: Json) -> Iterator[tuple[float, Json]]:
        """Send a request; yield all until its answer, each with the seconds it took to come."""
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps(message).encode() + b"\n"
        begin = time.perf_counter()
        self._process.stdin.write(line)
        self._process.stdin.flush()
        for line in self._process.stdout:
            came = json.loads(line)
            yield time.perf_counter() - begin, came
            if came.get("id") == self._number and "method" not in came:
                return
        raise EOFError("the agent ended")

    def notify(self, method: str, params: Json) -> None:
        """Send a notification."""
        assert self._process.stdin is not None
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()


@contextmanager
def running_agent(folder: Path, *, slow: bool = False) -> Iterator[Agent]:
    """Start an agent whose scripted model answers at once, or word by word, over and over."""
    script = folder / f"script-{slow}.json"
    at_once = {"text": "Done.", "chunks": 1}
    word_by_word = {"text": "word " * 1000, "chunks": 1000, "delay": 0.05}
    script.write_text(
        json.dumps({"responses": [word_by_word if slow else at_once], "repeat": True})
    )
    environment = os.environ | {
        "HOME": str(folder),
        "PUNIE_STATE_DIR": str(folder / "state"),
        "PUNIE_CONFIG_DIR": str(folder / "config"),
        "PUNIE_MODEL": f"scripted:{script}",
    }
    command = [str(Path(sys.executable).with_name("punie")), "acp"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        agent = Agent(process)
        agent.call("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
        yield agent
    finally:
        process.kill()
        process.wait()


def prompt(agent: Agent, session: str) -> tuple[float, float]:
    """Run a turn; return the milliseconds to its first chunk of text and to its end."""
    first = None
    seconds = 0.0
    params = {"sessionId": session, "prompt": [{"type": "text", "text": "Go"}]}
    for seconds, message in agent.stream("session/prompt", params):
        update = message.get("params", {}).get("update", {})
        if first is None and update.get("sessionUpdate") == "agent_message_chunk":
            first = seconds
    assert first is not None
    return first * 1000, seconds * 1000


def cancel(agent: Agent, session: str) -> float:
    """Cancel a turn in the middle of its answer; return the milliseconds to the prompt's end."""
    sent = None
    params = {"sessionId": session, "prompt": [{"type": "text", "text": "Go"}]}
    for _, message in agent.stream("session/prompt", params):
        update = message.get("params", {}).get("update", {})
        if sent is None and update.get("sessionUpdate") == "agent_message_chunk":
            sent = time.perf_counter()
            agent.notify("session/cancel", {"sessionId": session})
    assert message["result"] == {"stopReason": "cancelled"}
    assert sent is not None
    return (time.perf_counter() - sent) * 1000


def open_session(agent: Agent, folder: Path) -> tuple[str, float]:
    """Open a session; return its id and the milliseconds."""
    begin = time.perf_counter()
    params: Json = {"cwd": str(folder), "mcpServers": []}
    session = agent.call("session/new", params)["sessionId"]
    return session, (time.perf_counter() - begin) * 1000


def fill(agent: Agent, folder: Path, session: str) -> int:
    """Prompt until the session has its events; return how many."""
    count = 0
    while count < EVENTS:
        prompt(agent, session)
        with closing(sqlite3.connect(folder / "state" / "sessions.sqlite3")) as db:
            found = "SELECT count(*) FROM events WHERE session_id = ?"
            (count,) = db.execute(found, (session,)).fetchone()
    return count


def main() -> int:
    """Measure; 1 when a median is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    rows: list[tuple[str, list[float], float]] = []
    with tempfile.TemporaryDirectory() as name, running_agent(Path(name)) as agent:
        folder = Path(name)
        session, _ = open_session(agent, folder)
        for _ in range(3):  # loads the model and fills the caches
            prompt(agent, session)
        opened = [open_session(agent, folder)[1] for _ in range(runs)]
        rows.append(("session/new", opened, NEW_LIMIT))
        for label in ("new session", f"{EVENTS} events"):
            if label != "new session":
                fill(agent, folder, session)
            times = [prompt(agent, session) for _ in range(runs)]
            rows.append((f"first chunk, {label}", [first for first, _ in times], FIRST_LIMIT))
            rows.append((f"end of turn, {label}", [end for _, end in times], END_LIMIT))
    with tempfile.TemporaryDirectory() as name, running_agent(Path(name), slow=True) as agent:
        session, _ = open_session(agent, Path(name))
        cancel(agent, session)
        ends = [cancel(agent, session) for _ in range(runs)]
        rows.append(("cancelled in an answer", ends, CANCEL_LIMIT))
    medians = [(label, statistics.median(values), limit) for label, values, limit in rows]
    for label, median, limit in medians:
        print(f"{label:26} {median:6.1f} ms (median of {runs}, at most {limit:.0f})")
    return int(any(median > limit for _, median, limit in medians))


if __name__ == "__main__":
    sys.exit(main())
