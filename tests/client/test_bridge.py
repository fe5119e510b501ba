"""A bridge without a server: what waits is refused in time, and it gives up in time."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from punie.client.bridge import Bridge, Patience
from punie.server.record import server_lock
from punie.wire.inlet import PipeInlet
from punie.wire.outlet import PipeOutlet

pytestmark = pytest.mark.anyio


@pytest.fixture
def pipes() -> Iterator[tuple[int, int, int, int]]:
    """The reading and the writing end of the bridge's input, then of its output."""
    ends = (*os.pipe(), *os.pipe())
    with ExitStack() as stack:
        for end in ends:
            stack.callback(os.close, end)
        yield ends


async def test_requests_are_refused_and_then_all_is_given_up(
    tmp_path: Path, pipes: tuple[int, int, int, int]
) -> None:
    incoming, client_out, client_in, outgoing = pipes
    os.write(
        client_out,
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}\n'
        b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s"}}\n'
        b"nonsense\n"
        b'{"jsonrpc":"2.0","id":2,"method":"session/list","params":{}}\n',
    )
    bridge = Bridge(
        tmp_path,
        {},
        PipeInlet(incoming, lambda: None),
        PipeOutlet(outgoing, lambda: None),
        Patience(refuse=0.1, give_up=0.4),
    )
    # A server that never gets on: it has the lock and no address.
    with server_lock(tmp_path):
        trouble = await bridge.run()
    assert trouble == (
        "A server is starting or stopping and does not get on; `punie stop` looks after it."
    )
    answers: list[dict[str, Any]] = [
        json.loads(line) for line in os.read(client_in, 65_536).splitlines()
    ]
    refused = "The Punie server does not start or does not answer; try again later."
    assert [(each["id"], each["error"]["message"]) for each in answers] == [
        (1, refused),
        (None, "The line is not valid JSON."),
        (2, refused),
    ]
