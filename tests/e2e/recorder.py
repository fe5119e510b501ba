"""Runs an agent and records what is said: python recorder.py [--only-load] FOLDER COMMAND...

The record is FOLDER/PID with the agent's process id: one line a message, "client " or "agent " in
front. `--only-load` hides from the client that sessions can be resumed without being shown.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO

Change = Callable[[bytes], bytes]


def main(arguments: list[str]) -> int:
    """Run the agent to its end; return its exit code."""
    only_load = arguments[0] == "--only-load"
    folder, *command = arguments[1:] if only_load else arguments
    agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: agent.send_signal(number))
    assert agent.stdin is not None
    assert agent.stdout is not None
    path = Path(folder) / str(agent.pid)
    record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    client = (record, b"client ", sys.stdin.buffer, agent.stdin, _unchanged)
    threading.Thread(target=_copy, args=client, daemon=True).start()
    change = _without_resume if only_load else _unchanged
    _copy(record, b"agent ", agent.stdout, sys.stdout.buffer, change)
    return agent.wait()


def _copy(
    record: int, side: bytes, source: BinaryIO | IO[bytes], sink: IO[bytes], change: Change
) -> None:
    for line in source:
        if line.endswith(b"\n"):
            os.write(record, side + line)
        with contextlib.suppress(OSError, ValueError):
            sink.write(change(line))
            sink.flush()
    with contextlib.suppress(OSError):
        sink.close()


def _unchanged(line: bytes) -> bytes:
    return line


def _without_resume(line: bytes) -> bytes:
    if b'"agentCapabilities"' not in line:
        return line
    message = json.loads(line)
    del message["result"]["agentCapabilities"]["sessionCapabilities"]["resume"]
    return json.dumps(message).encode() + b"\n"


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Not through the interpreter's end: the thread may still wait for the client.
    os._exit(code if code >= 0 else 128 - code)
