"""Many clients on one server with the bundled model: nothing lost or crossed, fair, flat memory.

20 clients with 10 sessions each in projects of their own prompt, cancel, close sessions and drop
their connection, at random. Each project's files hold a word of its own: one that shows up
elsewhere has crossed. What was shown is compared with what `session/load` replays afterwards.
Prints turns, the slowest client against the median, and the server's memory over time:

    python tests/bench/bench_server.py [--minutes 2] [--clients 20] [--sessions 10]
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from punie.server.record import read_record, read_token

SHARE_LIMIT = 3.0
GROWTH_LIMIT = 1.10
MEMORY_GB = "0.5"
MAX_TOKENS = "200"
"""An answer that goes on and on would take minutes among so many."""
PATIENCE_SECONDS = 240.0
TURNS_OF_A_SESSION = 6
PROMPTS = ("list the files here", "read {word}.txt", "hello", "search for {word}", "who are you?")
WORD = re.compile(r"zebra\d\d")

Json = dict[str, Any]


@dataclass
class Session:
    """A session as its client has seen it: `text` by message id, in order."""

    id: str
    turns: int = 0
    text: dict[str, str] = field(default_factory=dict)


class Lost(Exception):  # noqa: N818 - it names what happened
    """Something did not come that had to, or came where it should not."""


class Client:
    """One client. `seconds` are those of its turns that came to their end."""

    def __init__(self, number: int, folder: Path, address: str, token: str, sessions: int) -> None:
        self.word = f"zebra{number:02}"
        self.project = folder / self.word
        self.project.mkdir()
        (self.project / f"{self.word}.txt").write_text(f"{self.word} was here\n")
        self.seconds: list[float] = []
        self.cancelled = 0
        self.drops = 0
        self.done: list[Session] = []
        self._address, self._token, self._wanted = address, token, sessions
        self._chance = random.Random(number)
        self._sessions: dict[str, Session] = {}
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self._last_id = 0
        self._socket: ClientConnection

    async def run(self, until: float) -> None:
        """Work until the time is over."""
        while time.monotonic() < until:
            drop_at = min(until, time.monotonic() + self._chance.uniform(20, 60))
            await self._connected(drop_at)
            self.drops += 1

    async def _connected(self, until: float) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(
            self._address, additional_headers=headers, compression=None, proxy=None, max_size=None
        ) as self._socket:
            reading = asyncio.create_task(self._read())
            try:
                await self._request("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
                place = {"cwd": str(self.project), "mcpServers": []}
                for session_id in self._sessions:
                    await self._request("session/resume", {"sessionId": session_id, **place})
                while time.monotonic() < until:
                    while len(self._sessions) < self._wanted:
                        await self._request("session/new", place)
                    await self._turn(self._chance.choice(list(self._sessions.values())))
                # Gone in the middle of a turn.
                session = self._chance.choice(list(self._sessions.values()))
                session.turns += 1
                self._begin("session/prompt", self._prompt(session, "list the files here"))
                await asyncio.sleep(self._chance.uniform(0, 0.5))
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading

    async def _turn(self, session: Session) -> None:
        text = self._chance.choice(PROMPTS).format(word=self.word)
        begun = time.monotonic()
        answer = self._begin("session/prompt", self._prompt(session, text))
        session.turns += 1
        if self._chance.random() < 0.1:
            await asyncio.sleep(self._chance.uniform(0, 0.5))
            await self._notify("session/cancel", {"sessionId": session.id})
        try:
            result = await asyncio.wait_for(answer, PATIENCE_SECONDS)
        except TimeoutError as error:
            raise Lost(f"{self.word}: {text!r} in {session.id} was not answered") from error
        # The model may well talk until it is cut.
        if result["stopReason"] in ("end_turn", "max_tokens"):
            self.seconds.append(time.monotonic() - begun)
        elif result["stopReason"] == "cancelled":
            self.cancelled += 1
        else:
            raise Lost(f"a turn of {self.word} ended with {result}")
        if session.turns >= TURNS_OF_A_SESSION:
            await self._request("session/close", {"sessionId": session.id})
            self.done.append(self._sessions.pop(session.id))

    @staticmethod
    def _prompt(session: Session, text: str) -> Json:
        return {"sessionId": session.id, "prompt": [{"type": "text", "text": text}]}

    def _begin(self, method: str, params: Json) -> "asyncio.Future[Json]":
        self._last_id += 1
        answer = self._waiting[self._last_id] = asyncio.get_running_loop().create_future()
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        sending = asyncio.ensure_future(self._socket.send(json.dumps(message)))
        sending.add_done_callback(lambda _: None)
        return answer

    async def _request(self, method: str, params: Json) -> Json:
        return await asyncio.wait_for(self._begin(method, params), PATIENCE_SECONDS)

    async def _notify(self, method: str, params: Json) -> None:
        await self._socket.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in self._socket:
                message = json.loads(frame)
                others = set(WORD.findall(str(frame))) - {self.word}
                if others:
                    raise Lost(f"{self.word} was told of {others}")
                if message.get("method") == "session/update":
                    self._take(message["params"])
                elif "method" in message:
                    await self._answer(message)
                else:
                    answer = self._waiting.pop(message["id"])
                    if "error" in message:
                        answer.set_exception(Lost(message["error"]["message"]))
                    else:
                        self._opened(message["result"])
                        answer.set_result(message["result"])

    def _opened(self, result: Json) -> None:
        # At once: updates may come before the task that asked goes on.
        session_id = result.get("sessionId")
        if session_id is not None:
            self._sessions[session_id] = Session(session_id)

    def _take(self, params: Json) -> None:
        session = self._sessions.get(params["sessionId"])
        update = params["update"]
        if session is None:
            raise Lost(f"{self.word} got an update of a session that is not open: {update}")
        if update["sessionUpdate"] == "agent_message_chunk":
            key = update["messageId"]
            session.text[key] = session.text.get(key, "") + update["content"]["text"]

    async def _answer(self, message: Json) -> None:
        allowed = next(
            each["optionId"]
            for each in message["params"]["options"]
            if each["kind"] == "allow_once"
        )
        outcome = {"outcome": {"outcome": "selected", "optionId": allowed}}
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": outcome}
        await self._socket.send(json.dumps(answer))

    async def check(self) -> int:
        """Load every session and compare; return how many were equal."""
        seen = [*self.done, *self._sessions.values()]
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(
            self._address, additional_headers=headers, compression=None, proxy=None, max_size=None
        ) as self._socket:
            self._sessions = {session.id: Session(session.id) for session in seen}
            reading = asyncio.create_task(self._read())
            await self._request("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
            for session in seen:
                params = {"sessionId": session.id, "cwd": str(self.project), "mcpServers": []}
                await self._request("session/load", params)
                loaded = self._sessions[session.id].text
                for key, text in session.text.items():
                    # The last words before a connection was dropped may not have come through.
                    if not loaded.get(key, "").startswith(text):
                        raise Lost(f"shown {text!r}, stored {loaded.get(key)!r}")
                await self._request("session/close", {"sessionId": session.id})
            reading.cancel()
        return len(seen)


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[tuple[int, str, str]]:
    """Start a server; yield its process, the address of its WebSocket and its token."""
    environment = os.environ | {
        "HOME": str(folder),
        "PUNIE_STATE_DIR": str(folder / "state"),
        "PUNIE_CONFIG_DIR": str(folder / "config"),
        "PUNIE_MODEL": "punie-tiny",
        "PUNIE_MEMORY_GB": MEMORY_GB,
        "PUNIE_MAX_TOKENS": MAX_TOKENS,
    }
    command = [str(Path(sys.executable).with_name("punie")), "serve"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        while (record := read_record(folder / "state")) is None:
            assert process.poll() is None, "the server did not start"
            time.sleep(0.05)
        token = read_token(folder / "state")
        assert token is not None
        yield process.pid, record.url.replace("http", "ws", 1) + "/acp", token
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, "the server did not end in order"
    finally:
        process.kill()
        process.wait()


def memory_of(pid: int) -> float:
    """Return the resident memory of a process, in megabytes."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(listed.stdout) / 1024


async def watch(pid: int, until: float, memory: list[float]) -> None:
    """Note the server's memory every two seconds."""
    while time.monotonic() < until:
        memory.append(await asyncio.to_thread(memory_of, pid))
        await asyncio.sleep(2)


async def measure(folder: Path, minutes: float, clients: int, sessions: int) -> bool:
    """Run the load and print what came of it; tell whether it is within the limits."""
    with running_server(folder) as (pid, address, token):
        until = time.monotonic() + minutes * 60
        crowd = [Client(each, folder, address, token, sessions) for each in range(clients)]
        memory: list[float] = []
        async with asyncio.TaskGroup() as tasks:
            for client in crowd:
                tasks.create_task(client.run(until))
            tasks.create_task(watch(pid, until, memory))
        compared = 0
        for client in crowd:
            compared += await client.check()
    turns = [len(client.seconds) for client in crowd]
    waits = [statistics.mean(client.seconds) for client in crowd]
    share = max(waits) / statistics.median(waits)
    quarter = len(memory) // 4
    # Until then what is kept of prompts fills the memory that it is given.
    before = statistics.mean(memory[2 * quarter : 3 * quarter])
    growth = statistics.mean(memory[-quarter:]) / before
    print(f"{clients} clients with {sessions} sessions each, {minutes:g} minutes")
    print(f"{sum(turns)} turns to their end, {sum(each.cancelled for each in crowd)} cancelled,")
    print(f"{sum(each.drops for each in crowd)} connections dropped in the middle of a turn")
    print(f"{compared} sessions compared with what the store replays: nothing lost or crossed")
    print(f"turns of a client: {min(turns)} to {max(turns)}, median {statistics.median(turns):g}")
    print(f"slowest client's turns against the median client's: {share:.2f} (limit {SHARE_LIMIT})")
    print(
        f"memory: {memory[0]:.0f} MB at the start, {max(memory):.0f} MB at most; last quarter "
        f"against the third: {growth:.2f} (limit {GROWTH_LIMIT})"
    )
    return share <= SHARE_LIMIT and growth <= GROWTH_LIMIT


def main() -> int:
    """Run the benchmark; 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=10)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = asyncio.run(measure(Path(folder), chosen.minutes, chosen.clients, chosen.sessions))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
