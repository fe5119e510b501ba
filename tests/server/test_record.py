"""The files that name the running server."""

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from punie.server.record import (
    AlreadyRunning,
    ServerRecord,
    is_locked,
    new_token,
    process_start,
    read_record,
    read_token,
    remove_record,
    server_folder,
    server_lock,
    token_file,
    write_record,
)


def our_record() -> ServerRecord:
    started = process_start(os.getpid())
    assert started is not None
    return ServerRecord(os.getpid(), started, "http://127.0.0.1:4711", "1.0")


def test_there_is_no_server_without_its_lock(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with server_lock(tmp_path):
        assert is_locked(tmp_path)
        write_record(tmp_path, our_record(), "secret")
        assert read_record(tmp_path) == our_record()
        assert read_token(tmp_path) == "secret"
    # As after a kill: the files are there, the lock is not.
    assert not is_locked(tmp_path)
    assert read_record(tmp_path) is None


def test_two_never_hold_the_lock(tmp_path: Path) -> None:
    with server_lock(tmp_path), pytest.raises(AlreadyRunning), server_lock(tmp_path):
        pass
    with server_lock(tmp_path):
        pass


def test_a_record_of_another_process_is_none(tmp_path: Path) -> None:
    with server_lock(tmp_path):
        ended = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
        ended.wait()
        for record in (
            ServerRecord(ended.pid, "1", "http://127.0.0.1:1", "1.0"),
            ServerRecord(os.getpid(), "another start", "http://127.0.0.1:1", "1.0"),
        ):
            write_record(tmp_path, record, "secret")
            assert read_record(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pid": 1}', '{"pid": 1, "more": 2}'])
def test_a_damaged_record_is_none(tmp_path: Path, text: str) -> None:
    with server_lock(tmp_path):
        write_record(tmp_path, our_record(), "secret")
        (server_folder(tmp_path) / "server.json").write_text(text)
        assert read_record(tmp_path) is None


def test_nobody_else_can_read_the_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with server_lock(tmp_path):
            write_record(tmp_path, our_record(), "secret")
            folder = server_folder(tmp_path)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            for name in ("token", "server.json", "lock"):
                assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_the_record_is_taken_back(tmp_path: Path) -> None:
    with server_lock(tmp_path):
        write_record(tmp_path, our_record(), "secret")
        remove_record(tmp_path)
        remove_record(tmp_path)
        assert read_record(tmp_path) is None
        assert not token_file(tmp_path).exists()
        assert [path.name for path in server_folder(tmp_path).iterdir()] == ["lock"]


def test_the_start_tells_processes_apart() -> None:
    own = process_start(os.getpid())
    assert own
    assert own == process_start(os.getpid())
    child = subprocess.Popen(["sleep", "30"], stdin=subprocess.DEVNULL)
    try:
        assert process_start(child.pid) not in (None, own)
    finally:
        child.kill()
        child.wait()
    assert process_start(2**22 + 1) is None


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 43 and json.dumps(token) == f'"{token}"' for token in tokens)


def test_a_look_at_the_lock_is_no_server(tmp_path: Path) -> None:
    with server_lock(tmp_path):
        pass
    looking = os.open(server_folder(tmp_path) / "lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, [looking]).start()
    with server_lock(tmp_path):
        assert is_locked(tmp_path)
