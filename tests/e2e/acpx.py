"""Drives the installed agent through acpx, a client that others wrote.

`tests/e2e/install_acpx.sh` installs it and prints its path, which PUNIE_ACPX hands on to here.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.e2e import recorder
from tests.e2e.client import COMMAND, eventually, process_exists
from tests.e2e.exchange import Exchange, Json

COMMAND_OF_ACPX = os.environ.get("PUNIE_ACPX", "")
AVAILABLE = bool(COMMAND_OF_ACPX) and os.access(COMMAND_OF_ACPX, os.X_OK)
MISSING = "PUNIE_ACPX names no acpx; tests/e2e/install_acpx.sh installs it and prints the path"

_IDLE_SECONDS = 4


class Acpx:
    """Runs acpx in a project; what it and its agents say to each other is recorded."""

    def __init__(self, environment: dict[str, str], project: Path, records: Path) -> None:
        self.environment = environment
        self.project = project
        self.only_load = False
        self._records = records
        records.mkdir()

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self._command(arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def say(self, *arguments: str) -> str:
        """Run a command that has to succeed; return what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Run a command in the background."""
        return subprocess.Popen(
            self._command(arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def agents(self) -> list[int]:
        """Return the process ids of the agents that run."""
        return [pid for pid in self._started() if process_exists(pid)]

    def messages(self) -> list[Json]:
        """Return all that was said, one agent after the other."""
        return [message for pid in self._started() for _, message in self._record(pid)]

    def methods(self) -> set[str]:
        """Return the methods that were called, in both directions."""
        return {message["method"] for message in self.messages() if "method" in message}

    def updates(self, kind: str) -> list[Json]:
        """Return the updates of one kind."""
        updates = [
            message["params"]["update"]
            for message in self.messages()
            if message.get("method") == "session/update"
        ]
        return [update for update in updates if update["sessionUpdate"] == kind]

    def saw(self, text: str) -> bool:
        """Wait until a text was said; tell whether it came."""
        return eventually(lambda: text in str(self.messages()), 30)

    def end(self) -> list[str]:
        """End the agents that are left; return what was wrong with all that was said."""
        for pid in self.agents():
            os.kill(pid, 15)
        assert eventually(lambda: not self.agents(), 10)
        faults: list[str] = []
        for pid in self._started():
            exchange = Exchange()
            for side, message in self._record(pid):
                exchange.add("client" if side == "client" else "agent", message)
            faults += exchange.faults()
            assert exchange.checked > 1
        return faults

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        flags = ["--only-load"] if self.only_load else []
        agent = [sys.executable, recorder.__file__, *flags, str(self._records), str(COMMAND), "acp"]
        return [
            COMMAND_OF_ACPX, "--agent", shlex.join(agent), "--cwd", str(self.project),
            "--ttl", str(_IDLE_SECONDS), *arguments,
        ]  # fmt: skip

    def _started(self) -> list[int]:
        records = sorted(self._records.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [int(path.name) for path in records]

    def _record(self, pid: int) -> list[tuple[str, Json]]:
        lines = (self._records / str(pid)).read_text(encoding="utf-8").splitlines()
        pairs = [line.partition(" ") for line in lines]
        return [(side, json.loads(text)) for side, _, text in pairs]
