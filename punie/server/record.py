"""Who the user's server is: the files in the state folder that name it and keep it alone.

`lock` is held by the running server as long as it lives, so a file that is left over misleads
nobody; `server.json` says which process it is and where it listens; `token` is its key. The
folder is the user's alone.
"""

import fcntl
import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from punie.file_locks import is_held

SETTINGS_HEADER = "punie-settings"
"""Header of a connection: a JSON object of settings that hold for this client."""

_PS_SECONDS = 5.0
_LOOK_SECONDS = 0.25
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600


class AlreadyRunning(Exception):  # noqa: N818 - it names a state, as the user reads it
    """Another server holds the lock of this state folder."""


@dataclass(frozen=True)
class ServerRecord:
    """A running server.

    `started` tells its process from a later one with the same number; `url` is where it listens,
    as `http://127.0.0.1:4711`; `version` is Punie's. `certificate` is the file that clients trust
    where the address begins with https, if there is one.
    """

    pid: int
    started: str
    url: str
    version: str
    certificate: str | None = None


def server_folder(state_dir: Path) -> Path:
    """Return the folder of the server's files."""
    return state_dir / "server"


def token_file(state_dir: Path) -> Path:
    """Return the file that holds the token of the running server."""
    return server_folder(state_dir) / "token"


@contextmanager
def server_lock(state_dir: Path) -> Iterator[None]:
    """Be the one server of this state folder; raise `AlreadyRunning` if there is another one."""
    folder = server_folder(state_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
    folder.chmod(_PRIVATE_FOLDER)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    # Whoever looks whether a server runs holds the lock with others for a moment.
    deadline = time.monotonic() + _LOOK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise AlreadyRunning from None
            time.sleep(_LOOK_SECONDS / 50)
        else:
            return


def is_locked(state_dir: Path) -> bool:
    """Tell whether a server of this state folder is running."""
    return is_held(server_folder(state_dir) / "lock")


def write_record(state_dir: Path, record: ServerRecord, token: str) -> None:
    """Tell clients of this server, the token first."""
    _write_private(token_file(state_dir), token)
    _write_private(_record_file(state_dir), json.dumps(asdict(record)))


def remove_record(state_dir: Path) -> None:
    """Take the record back; to be called while the lock is held."""
    for path in (_record_file(state_dir), token_file(state_dir)):
        with suppress(OSError):
            path.unlink()


def read_record(state_dir: Path) -> ServerRecord | None:
    """Return the running server, or None where none is running or it is not ready yet.

    A record whose process is gone, or whose number another process has by now, is none.
    """
    record = left_record(state_dir) if is_locked(state_dir) else None
    return record if record is not None and process_start(record.pid) == record.started else None


def left_record(state_dir: Path) -> ServerRecord | None:
    """Return what the record's file says, whether that server still runs or not."""
    try:
        return ServerRecord(**json.loads(_record_file(state_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def read_token(state_dir: Path) -> str | None:
    """Return the token of the running server, if it can be read."""
    try:
        return token_file(state_dir).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def new_token() -> str:
    """Return a random token of 256 bits, fit for a header and an address."""
    return secrets.token_urlsafe(32)


def page_address(url: str, token: str) -> str:
    """Return the address of the server's page, with the token where no browser sends it on."""
    return f"{url}/#token={quote(token)}"


def process_start(pid: int) -> str | None:
    """Return when a process began, as the system writes it, or None if there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _start_from_ps(pid)
    # The name in parentheses may hold anything; the start is the 22nd field (proc(5)).
    return line.rpartition(")")[2].split()[19]


def _start_from_ps(pid: int) -> str | None:
    try:
        asked = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_PS_SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.decode("ascii", "replace").strip() or None


def _record_file(state_dir: Path) -> Path:
    return server_folder(state_dir) / "server.json"


def _write_private(path: Path, text: str) -> None:
    """Replace the file in one step; nobody but the user can read it at any moment."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_FILE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    unfinished.replace(path)
