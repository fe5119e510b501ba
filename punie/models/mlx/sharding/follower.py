"""A machine that runs its part of a model for another one, which tells it each pass.

It is started by `punie.models.sharding.enlist`, with its orders on standard input, and ends with
its connection. What it knows of prompts is in memory only.
"""

import json
import os
import queue
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from punie.models.catalog import ModelUnavailable, resolve_model
from punie.models.checking import check_model
from punie.models.machine import machine_memory
from punie.models.sharding.likeness import model_fingerprint, versions
from punie.models.sharding.machines import take_part
from punie.models.sharding.wire import Message, Wire

_CONNECT_SECONDS = 20.0
_REHEARSAL_SECONDS = 30.0


def main() -> None:
    """Report to the machine that leads, and do as it says until it is gone."""
    orders = json.loads(sys.stdin.readline())
    # The launcher counts those that follow from 0; 0 is the one that leads.
    rank = int(os.environ.pop("MLX_RANK")) + 1
    address, port = orders["address"]
    wire = Wire(socket.create_connection((address, port), timeout=_CONNECT_SECONDS))
    hello: Message = {"token": orders["token"], "rank": rank, "versions": versions()}
    hello["usable"] = machine_memory(measure_free=False).usable
    directory: Path | None = None
    try:
        directory = resolve_model(orders["model"]).path
        assert directory is not None
        check_model(directory)
        hello["fingerprint"] = model_fingerprint(directory)
    except ModelUnavailable as error:
        hello["trouble"] = str(error)
    wire.send(hello)
    if directory is None or "trouble" in hello:
        return
    given: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(wire, given), daemon=True).start()
    try:
        _follow(directory, given)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        with suppress(OSError):
            wire.send({"trouble": reason})
        _leave(1)


def _listen(wire: Wire, given: "queue.SimpleQueue[Message]") -> None:
    """Pass orders on, and end the process with the connection, also in the middle of a pass."""
    with suppress(OSError, ValueError):
        while (message := wire.receive()) is not None:
            if message["do"] == "stop":
                _leave(0)
            given.put(message)
    _leave(1)


def _follow(directory: Path, given: "queue.SimpleQueue[Message]") -> None:
    # Imported only here: the report should not wait for it.
    from punie.models.mlx.scheduling.admission import MemoryBudget
    from punie.models.mlx.sharding.mirrors import Mirrors
    from punie.models.mlx.sharding.ring import join_ring, load_part

    while (place := given.get())["do"] == "rehearse":
        take_part(place["ring"], place["rank"], _REHEARSAL_SECONDS)
    model, _ = load_part(directory, join_ring(place["ring"], place["rank"]))
    MemoryBudget.of_machine(None, None).set_limits()
    mirrors = Mirrors(model)
    while True:
        mirrors.feed(given.get())


def _leave(code: int) -> NoReturn:
    """End at once: a thread that is inside MLX would hold an orderly end up."""
    os._exit(code)


if __name__ == "__main__":
    main()
