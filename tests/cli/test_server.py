"""`punie status`, `punie stop` and how a server is told of."""

import json
import os
import plistlib
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from punie import __version__
from punie.server.record import (
    ServerRecord,
    is_locked,
    process_start,
    read_record,
    server_folder,
    server_lock,
    token_file,
    write_record,
)
from tests.cli.conftest import Command
from tests.e2e.client import eventually


@contextmanager
def served(punie: Command, stderr: int = subprocess.DEVNULL) -> Iterator[ServerRecord]:
    """Run a server on the state folder of the command; yield its record."""
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name("punie")), "serve"],
        env=punie.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )
    try:
        assert eventually(lambda: read_record(punie.state) is not None, 30)
        record = read_record(punie.state)
        assert record is not None
        yield record
    finally:
        server.kill()
        server.wait(10)


@pytest.mark.parametrize("on_terminal", [True, False])
def test_the_pages_address_with_its_token_is_for_terminals_only(
    on_terminal: bool, punie: Command
) -> None:
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    try:
        with served(punie, theirs) as record:
            page = f"{record.url}/#token={token_file(punie.state).read_text().strip()}"
            assert punie("stop").returncode == 0
            said = b""
            while b"turns that run are cancelled" not in said:  # its last line
                said += os.read(ours, 4096)
            assert (page in said.decode()) is on_terminal
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_server_is_told_of_and_stopped(punie: Command) -> None:
    with served(punie) as record:
        told = punie("status")
        assert told.returncode == 0
        first, up, counts, token, page = told.stdout.splitlines()
        assert first == (
            f"The server runs at {record.url} (process {record.pid}, Punie {__version__})."
        )
        assert up.startswith("up for ")
        assert counts == "0 clients, 0 sessions, 0 turns"
        assert token == f"token: {token_file(punie.state)}"
        assert page == f"page: {record.url}/#token={token_file(punie.state).read_text().strip()}"
        facts = json.loads(punie("status", "--json").stdout)
        assert facts.pop("uptime_seconds") >= 0
        assert facts == {
            "running": True,
            "answers": True,
            "url": record.url,
            "pid": record.pid,
            "version": __version__,
            "clients": 0,
            "sessions": 0,
            "turns": 0,
            "token_file": str(token_file(punie.state)),
        }
        second = punie("serve")
        assert second.returncode == 1
        assert second.stderr == (
            f"punie: a server runs already, at {record.url} (process {record.pid}); "
            "see `punie status`.\n"
        )
        done = punie("stop")
        assert (done.returncode, done.stdout) == (
            0,
            f"The server (process {record.pid}) has stopped.\n",
        )
        assert not is_locked(punie.state)
    assert punie("status").returncode == 3


def test_a_server_that_hangs_is_told_of(punie: Command) -> None:
    with served(punie) as record:
        os.kill(record.pid, signal.SIGSTOP)
        told = punie("status")
    assert told.returncode == 1
    assert told.stderr == (
        f"punie: the server (process {record.pid}) does not answer; `punie stop` ends it.\n"
    )


def test_without_a_server_there_is_nothing_to_stop(punie: Command) -> None:
    assert (punie("stop").returncode, punie("stop").stdout) == (0, "The server is not running.\n")
    told = punie("status", "--json")
    assert (told.returncode, json.loads(told.stdout)) == (3, {"running": False})


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("stop", 0, "was gone already; the record that it left was removed."),
        ("status", 3, "the record of a server that is gone"),
    ],
)
def test_a_record_that_was_left_over_is_told_and_removed(
    punie: Command, command: str, code: int, sentence: str
) -> None:
    # The process of this number lives, but nothing holds the lock.
    record = ServerRecord(os.getpid(), process_start(os.getpid()) or "", "http://x", __version__)
    server_folder(punie.state).mkdir(parents=True)
    write_record(punie.state, record, "t" * 20)
    done = punie(command)
    assert done.returncode == code
    assert sentence in done.stdout + done.stderr
    assert str(os.getpid()) in done.stdout + done.stderr
    assert [path.name for path in server_folder(punie.state).iterdir()] == ["lock"]


def test_a_process_that_is_not_the_server_is_never_ended(punie: Command) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        with server_lock(punie.state):
            record = ServerRecord(bystander.pid, "long ago", "http://x", __version__)
            write_record(punie.state, record, "t" * 20)
            done = punie("stop")
        assert done.returncode == 1
        assert done.stderr == (
            f"punie: the record names process {bystander.pid}, which is not the server that runs; "
            "nothing was stopped.\n"
        )
        assert bystander.poll() is None
        assert json.loads((server_folder(punie.state) / "server.json").read_text()) == asdict(
            record
        )
    finally:
        bystander.kill()
        bystander.wait()


def test_a_port_that_is_taken_is_told(punie: Command) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = punie("serve", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"punie: port {port} of 127.0.0.1 cannot be used (address already in use); "
        "choose another one with --port.\n"
    )


def test_the_units_start_this_very_punie(punie: Command) -> None:
    program = str(Path(sys.executable).with_name("punie"))
    job = plistlib.loads(
        punie("serve", "--print-unit", "launchd", "--idle-minutes", "5").stdout.encode()
    )
    assert job["ProgramArguments"] == [program, "serve", "--idle-minutes", "5"]
    unit = punie("serve", "--print-unit", "systemd").stdout
    assert f'ExecStart="{program}" "serve" "--idle-minutes" "0"\n' in unit
