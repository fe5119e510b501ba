"""The machines that follow this one: started, checked, told what to do, and watched.

Their orders come over a connection of their own, on which they can wait without work; the model's
passes then run over MLX's ring. A follower ends with its connection, so that none outlives us.
"""

import hmac
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.logs.setup import get_logger
from punie.models.catalog import ModelChoice, ModelUnavailable, read_json_object
from punie.models.checking import check_model
from punie.models.sharding.division import check_divisible
from punie.models.sharding.hosts import FIRST_PORT, CannotShare, RingHost, ring_addresses
from punie.models.sharding.likeness import model_fingerprint, versions
from punie.models.sharding.wire import Message, Wire

_STARTING_SECONDS = 60.0
_HELLO_SECONDS = 10.0
_LAUNCHER_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_REHEARSAL_SECONDS = 30.0
_REHEARSAL_PORTS = 100
"""How far its ports are from the real ones, which must be free again."""
_MOST_OUTPUT = 300
_WARNING = "[WARN]"
_log = get_logger(__name__)


@dataclass(frozen=True)
class _Follower:
    host: RingHost
    wire: Wire
    usable: int


class Machines:
    """The followers of one model, all of them there; may be used from any thread."""

    def __init__(
        self, hosts: tuple[RingHost, ...], directory: Path, followers: dict[int, _Follower]
    ) -> None:
        self.directory = directory
        self.ring = ring_addresses(hosts)
        self.size = len(hosts)
        self.usable = min(each.usable for each in followers.values())
        """Bytes that the smallest of the others has for a model."""
        self.lost = threading.Event()
        """Set when one of them is gone; `trouble` says it in a sentence."""
        self.trouble = ""
        self.on_lost: list[Callable[[str], None]] = []
        """Called with the sentence when one is gone, in a thread of its own."""
        self._followers = followers
        self._closing = False
        self._lock = threading.Lock()
        for follower in followers.values():
            thread = threading.Thread(target=self._watch, args=(follower,), daemon=True)
            thread.start()

    @classmethod
    def start(
        cls, hosts: tuple[RingHost, ...], choice: ModelChoice, say: Callable[[str], None]
    ) -> "Machines":
        """Start the followers on all hosts but the first; raise `CannotShare`.

        It takes as long as the slowest of them, a minute at most.
        """
        if choice.path is None or choice.source == "scripted":
            raise CannotShare(f"{choice.id} has no weights that machines could share.")
        try:
            check_model(choice.path)
            check_divisible(read_json_object(choice.path / "config.json"), len(hosts))
        except ModelUnavailable as error:
            raise CannotShare(str(error)) from None
        say(f"starting {choice.title} on {', '.join(host.name for host in hosts)}.")
        followers = _start_followers(hosts, choice)
        try:
            _rehearse(hosts, followers)
        except BaseException:
            for follower in followers.values():
                follower.wire.close()
            raise
        return cls(hosts, choice.path, followers)

    def join(self) -> None:
        """Tell the others to form the ring and load the model, as the caller is about to do."""
        for rank, follower in self._followers.items():
            follower.wire.send({"do": "join", "ring": self.ring, "rank": rank})

    def send(self, message: Message) -> None:
        """Tell all others what to do; raise `CannotShare` if one is gone."""
        try:
            for follower in self._followers.values():
                follower.wire.send(message)
        except OSError:
            self._lose(follower.host.name, "")
        if self.lost.is_set():
            raise CannotShare(self.trouble)

    def give_up(self, reason: str) -> str:
        """Take note that a pass failed, after which nothing fits together; return the sentence."""
        # Mostly it failed because one of them has gone, which its own watcher can say better.
        self.lost.wait(1.0)
        self._lose("this machine", reason)
        return self.trouble

    def close(self) -> None:
        """Let all followers end."""
        self._closing = True
        for follower in self._followers.values():
            with suppress(OSError):
                follower.wire.send({"do": "stop"})
            follower.wire.close()

    def _watch(self, follower: _Follower) -> None:
        reason = ""
        with suppress(OSError, ValueError):
            while (message := follower.wire.receive()) is not None:
                reason = str(message.get("trouble", ""))
        self._lose(follower.host.name, reason)

    def _lose(self, name: str, reason: str) -> None:
        with self._lock:
            if self._closing or self.lost.is_set():
                return
            why = f" ({reason.rstrip('.')})" if reason else ""
            self.trouble = (
                f"{name} has left the machines that share the model{why}; start the server again."
            )
            _log.error("a machine is lost", machine=name, reason=reason)
            self.lost.set()
        for tell in self.on_lost:
            tell(self.trouble)


def _start_followers(hosts: tuple[RingHost, ...], choice: ModelChoice) -> dict[int, _Follower]:
    own = hosts[0].addresses[0]
    token = secrets.token_hex(32)
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_STREAM) as listener,
        tempfile.NamedTemporaryFile("w", suffix=".json") as hostfile,
        tempfile.TemporaryFile() as output,
    ):
        listener.bind((own, 0))
        listener.listen(len(hosts))
        listener.settimeout(_LOOK_SECONDS)
        others = [{"ssh": host.name, "ips": list(host.addresses)} for host in hosts[1:]]
        json.dump(others, hostfile)
        hostfile.flush()
        launcher = _launch(Path(hostfile.name), output)
        try:
            assert launcher.stdin is not None
            # Not in its arguments, which other users of the machine can read.
            orders = {"address": [own, listener.getsockname()[1]], "token": token}
            with suppress(BrokenPipeError):
                launcher.stdin.write(json.dumps({**orders, "model": choice.id}).encode() + b"\n")
                launcher.stdin.flush()
            return _Roll(hosts, choice, token, listener, launcher, output).call()
        finally:
            _end(launcher)


def _rehearse(hosts: tuple[RingHost, ...], followers: dict[int, _Follower]) -> None:
    """See that all machines can form a ring; raise `CannotShare`.

    Who joins one for good is frozen until the others are there, so this is tried aside.
    """
    ring = ring_addresses(hosts, FIRST_PORT + _REHEARSAL_PORTS)
    with suppress(OSError):  # one that is gone is missing in the ring too
        for rank, follower in followers.items():
            follower.wire.send({"do": "rehearse", "ring": ring, "rank": rank})
    if not take_part(ring, 0, _REHEARSAL_SECONDS):
        addresses = ", ".join(host.addresses[0] for host in hosts)
        raise CannotShare(
            f"The machines do not reach one another at {addresses}; see that these addresses are "
            "right and that no firewall keeps Python's ports closed."
        )


def take_part(ring: list[list[str]], rank: int, seconds: float) -> bool:
    """Take this machine's place in a rehearsal; tell whether it was completed in time."""
    place = (json.dumps(ring), str(rank))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "punie.models.mlx.sharding.rehearsal", *place],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:
        _log.warning("a ring failed", said=done.stderr.decode("utf-8", "replace")[-_MOST_OUTPUT:])
    return done.returncode == 0


def _launch(hostfile: Path, output: Any) -> "subprocess.Popen[bytes]":
    program = Path(sys.executable).with_name("mlx.launch")
    if not program.is_file():
        raise CannotShare("MLX's launcher (mlx.launch) is not installed; install Punie again.")
    return subprocess.Popen(
        [
            program,
            *("--hostfile", hostfile, "--backend", "ring", "--"),
            *(sys.executable, "-m", "punie.models.sharding.enlist", f"leader={os.getpid()}"),
        ],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _end(launcher: "subprocess.Popen[bytes]") -> None:
    """Wait until the launcher has seen its programs end; it is not needed any more."""
    try:
        launcher.wait(_LAUNCHER_SECONDS)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()
    assert launcher.stdin is not None
    with suppress(OSError):
        launcher.stdin.close()


class _Roll:
    """Waits until all followers have reported, and looks whether they fit."""

    def __init__(
        self,
        hosts: tuple[RingHost, ...],
        choice: ModelChoice,
        token: str,
        listener: socket.socket,
        launcher: "subprocess.Popen[bytes]",
        output: Any,
    ) -> None:
        assert choice.path is not None
        self._hosts = hosts
        self._choice = choice
        self._token = token
        self._listener = listener
        self._launcher = launcher
        self._output = output
        self._versions = versions()
        self._fingerprint = model_fingerprint(choice.path)
        self._followers: dict[int, _Follower] = {}

    def call(self) -> dict[int, _Follower]:
        deadline = time.monotonic() + _STARTING_SECONDS
        try:
            while len(self._followers) < len(self._hosts) - 1:
                self._look(deadline)
        except BaseException:
            for follower in self._followers.values():
                follower.wire.close()
            raise
        return self._followers

    def _look(self, deadline: float) -> None:
        try:
            connection, _ = self._listener.accept()
        except TimeoutError:
            self._check_launcher()
            if time.monotonic() > deadline:
                raise CannotShare(f"{self._missing()} did not report in time.") from None
            return
        wire = Wire(connection)
        try:
            hello = wire.receive(_HELLO_SECONDS) or {}
        except (OSError, ValueError):
            hello = {}
        rank = hello.get("rank")
        known = hmac.compare_digest(str(hello.get("token")), self._token)
        if not known or not isinstance(rank, int) or not 0 < rank < len(self._hosts):
            wire.close()
            return
        try:
            self._check(self._hosts[rank].name, hello)
        except CannotShare:
            wire.close()
            raise
        self._followers[rank] = _Follower(self._hosts[rank], wire, int(hello["usable"]))

    def _check(self, name: str, hello: Message) -> None:
        if hello.get("trouble"):
            raise CannotShare(f"{name} cannot take part: {hello['trouble']}")
        for package, version in self._versions.items():
            other = hello.get("versions", {}).get(package)
            if other != version:
                raise CannotShare(
                    f"{name} has {package} {other} and this machine {version}; install the same."
                )
        if hello.get("fingerprint") != self._fingerprint:
            raise CannotShare(
                f"{name} has another version of {self._choice.id}; pull or copy the same files."
            )

    def _check_launcher(self) -> None:
        self._output.seek(0)
        said = self._output.read().decode("utf-8", "replace")
        failed, reason = _what_failed(said)
        if failed and self._launcher.poll() is not None:
            raise CannotShare(
                f"{self._missing()} could not be started{reason}; see that "
                f"`ssh HOST {sys.executable} --version` works."
            )

    def _missing(self) -> str:
        ranks = [rank for rank in range(1, len(self._hosts)) if rank not in self._followers]
        return ", ".join(self._hosts[rank].name for rank in ranks)


def _what_failed(said: str) -> tuple[bool, str]:
    """Tell from the launcher's output whether a program failed, and the reason in brackets.

    It also writes where it keeps the numbers of processes.
    """
    lines = [line.strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith("/")]
    reasons = [line for line in lines if _WARNING not in line]
    reason = f" ({reasons[-1][:_MOST_OUTPUT].rstrip('.')})" if reasons else ""
    return bool(lines), reason
