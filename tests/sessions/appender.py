"""A child process that appends until it is killed, and says after each append that it is done."""

import sys
from pathlib import Path

import anyio

from punie.sessions.store import SessionStore


async def main(path: Path, session_id: str, size: int) -> None:
    store = SessionStore(path)
    if await store.get(session_id) is None:
        await store.create(session_id, "/project", {"mode": "ask"})
    number = len(await store.events(session_id))
    while True:
        await store.append(session_id, "text", f"{number}:" + "x" * size)
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
