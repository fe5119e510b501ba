"""What the user's login shell exports: an IDE started from a dock or a menu inherits little of it.

The shell is started once per process, in a session of its own and with nothing on its input. What
a profile prints, however much, is told apart by marks around the answer.
"""

import contextlib
import os
import pwd
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from punie.logs.setup import get_logger
from punie.workspace.processes import ProcessGroup, forget_group, signal_group, start_group

LOGIN_SHELL_SECONDS = 5.0
"""How long the shell's profile may take; the first command of the process waits for it."""

PROFILE_MARK = "PUNIE_RESOLVING_ENVIRONMENT"
"""Set while the profile is read, for profiles that want to leave something out then."""

_INTERACTIVE = {"bash", "zsh", "fish", "ksh", "mksh", "dash", "ash", "sh", "nu"}
# What belongs to the shell that was asked, not to the user.
_OF_THE_SHELL = {"PWD", "OLDPWD", "SHLVL", "_", "A__z", "TERM", PROFILE_MARK}
_CHUNK_BYTES = 65_536
_ANSWER_BYTES = 16 * 1024 * 1024
_log = get_logger(__name__)


class LoginShellError(Exception):
    """The shell gave no answer; the message says why."""


class LoginShell:
    """Asks the user's shell once and keeps the answer. Blocks; call it in a worker thread."""

    def __init__(self, seconds: float = LOGIN_SHELL_SECONDS) -> None:
        self._seconds = seconds
        self._asking = threading.Lock()
        self._answer: Mapping[str, str] | None = None
        self._asked = False

    def environment(self, inherited: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return what the shell exports when it starts from `inherited`; None if it cannot say."""
        with self._asking:
            if not self._asked:
                self._asked = True
                try:
                    self._answer = ask_login_shell(inherited, self._seconds)
                except LoginShellError as error:
                    _log.warning("login shell not used", reason=str(error))
            return self._answer


def user_shell(environment: Mapping[str, str]) -> Path | None:
    """Return the user's shell: `$SHELL`, or else what the user database says."""
    named = [environment.get("SHELL", "")]
    with contextlib.suppress(KeyError):
        named.append(pwd.getpwuid(os.getuid()).pw_shell)
    for name in named:
        if name.startswith("/") and os.access(name, os.X_OK):
            return Path(name)
    return None


def ask_login_shell(inherited: Mapping[str, str], seconds: float) -> Mapping[str, str]:
    """Return what the user's shell exports as a login shell; raise `LoginShellError`.

    An interactive one is asked first, because most people set their PATH in a file that only
    interactive shells read. If its profile ends it early, a plain login shell is asked.
    """
    shell = user_shell(inherited)
    if shell is None:
        raise LoginShellError("no shell is known for this user")
    if shell.name not in _INTERACTIVE:
        raise LoginShellError(f"{shell.name} is a shell that cannot be asked")
    deadline = time.monotonic() + seconds
    try:
        return _ask(shell, ["-l", "-i"], inherited, deadline)
    except LoginShellError:
        if time.monotonic() >= deadline:
            raise
        return _ask(shell, ["-l"], inherited, deadline)


def _ask(
    shell: Path, flags: Sequence[str], inherited: Mapping[str, str], deadline: float
) -> Mapping[str, str]:
    mark = secrets.token_hex(16)
    environment = {**inherited, "TERM": "dumb", PROFILE_MARK: "1"}
    home = Path(inherited.get("HOME") or "/")
    read_end, write_end = os.pipe()
    try:
        try:
            group = start_group(
                [str(shell), *flags, "-c", _question(shell, mark)],
                home if home.is_dir() else Path("/"),
                stdout=write_end,
                stderr=subprocess.DEVNULL,
                environment=environment,
            )
        except (OSError, ValueError) as error:
            raise LoginShellError(f"{shell} could not be started") from error
        finally:
            os.close(write_end)
        try:
            return _parse(_read_answer(read_end, mark.encode(), deadline))
        finally:
            _end(group)
    finally:
        os.close(read_end)


def _question(shell: Path, mark: str) -> str:
    """Return the command line that prints the environment, in words that every shell reads alike.

    Python prints it, because not every `env` can end its lines with NUL, and a profile may have
    changed which `env` is found.
    """
    program = (
        "import os, sys; "
        f'sys.stdout.buffer.write(b"{mark}" + '
        'b"".join(k + b"=" + v + bytes(1) for k, v in os.environb.items()) + '
        f'b"{mark}")'
    )
    call = "^" if shell.name == "nu" else ""
    return f"{call}'{sys.executable}' -I -S -c '{program}'"


def _read_answer(read_end: int, mark: bytes, deadline: float) -> bytes:
    """Read until the second mark. The end of the stream may never come: daemons inherit it."""
    data = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([read_end], [], [], left)[0]:
            raise LoginShellError("its profile took too long")
        chunk = os.read(read_end, _CHUNK_BYTES)
        data += chunk
        parts = data.split(mark)
        if len(parts) >= 3:
            return parts[1]
        if not chunk:
            raise LoginShellError("its profile ended it early")
        if len(data) > _ANSWER_BYTES:
            raise LoginShellError("its profile prints without end")


def _parse(answer: bytes) -> Mapping[str, str]:
    entries = [os.fsdecode(entry).partition("=") for entry in answer.split(b"\0") if entry]
    return {name: value for name, _, value in entries if name and name not in _OF_THE_SHELL}


def _end(group: ProcessGroup) -> None:
    """End what the shell left running; it has nothing more to say."""
    signal_group(group, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        group.leader.wait(1)
    forget_group(group)
