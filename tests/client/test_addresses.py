"""Addresses of servers, and where a token goes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from punie import __version__
from punie.client.addresses import find_server, socket_address
from punie.client.finding import ServerUnavailable
from punie.server.record import ServerRecord, process_start, server_lock, write_record

pytestmark = pytest.mark.anyio
URL = "http://127.0.0.1:4711"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """The state folder of a server that runs; this process stands in for it."""
    started = process_start(os.getpid())
    assert started is not None
    with server_lock(tmp_path):
        record = ServerRecord(os.getpid(), started, URL, __version__)
        write_record(tmp_path, record, "the-own-token")
        yield tmp_path


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (URL, "ws://127.0.0.1:4711/acp"),
        (f"{URL}/", "ws://127.0.0.1:4711/acp"),
        ("ws://127.0.0.1:4711/acp", "ws://127.0.0.1:4711/acp"),
        ("https://build.example", "wss://build.example/acp"),
        ("wss://[::1]:4711/agents/acp/", "wss://[::1]:4711/agents/acp"),
    ],
)
def test_an_address_may_be_written_as_people_write_it(url: str, address: str) -> None:
    assert socket_address(url) == address


@pytest.mark.parametrize(
    "url", ["127.0.0.1:4711", "ftp://a", "http://", "http://a:b", "", "http://[::1"]
)
def test_what_is_no_address_is_said_in_a_sentence(url: str) -> None:
    with pytest.raises(ServerUnavailable, match=r"is no address|names no host"):
        socket_address(url)


@pytest.mark.parametrize("url", [None, URL, "ws://127.0.0.1:4711/acp"])
async def test_the_users_own_server_has_its_token_read(url: str | None, own: Path) -> None:
    assert (await find_server(url, own)).token == "the-own-token"
    assert (await find_server(url, own, token="given")).token == "given"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4712", "https://127.0.0.1:4711", "http://elsewhere:4711"]
)
async def test_no_other_server_is_told_that_token(
    url: str, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServerUnavailable, match="PUNIE_SERVER_TOKEN"):
        await find_server(url, own)
    monkeypatch.setenv("PUNIE_SERVER_TOKEN", "from-the-environment")
    assert (await find_server(url, own)).token == "from-the-environment"


async def test_a_record_that_is_left_over_gives_no_token(own: Path) -> None:
    record = own / "server/server.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "started": "1"}))
    with pytest.raises(ServerUnavailable):
        await find_server(URL, own)
