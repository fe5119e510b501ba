"""`mlx_lm.server` in a process of its own on loopback."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

import anyio

from punie.models.endpoint import Endpoint
from punie.models.mlx.bench.against import kept_server
from punie.models.mlx.bench.against.client import Peer
from punie.models.mlx.bench.rows import BenchError

TITLE = "mlx_lm.server"
_START_SECONDS = 600.0
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.01


@asynccontextmanager
async def serving(directory: Path, environment: Mapping[str, str]) -> AsyncGenerator[Peer]:
    """Run a server with a model, offline, until the context is left; it listens by then.

    The first request may still wait for the weights. `environment` adds to ours. Raises
    `BenchError` if the server does not start.
    """
    with (
        tempfile.TemporaryFile() as log,
        _process(directory, log, environment) as (process, port),
    ):
        deadline = time.monotonic() + _START_SECONDS
        while not await _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()
                raise BenchError(f"{TITLE} did not start ({(said or ['no word'])[-1]})")
            await anyio.sleep(_LOOK_SECONDS)
        endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", named_by="--against")
        yield Peer(TITLE, endpoint, None, "/health", pid=process.pid)


async def _listens(port: int) -> bool:
    try:
        stream = await anyio.connect_tcp("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


@contextmanager
def _process(
    directory: Path, log: IO[bytes], environment: Mapping[str, str]
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", kept_server.__name__, "--model", str(directory)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "WARNING"]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env={**os.environ, **offline, **environment},
        start_new_session=True,  # a Ctrl-C is for us; we end it
    )
    try:
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
