"""A small IDE in memory: editors with unsaved text over a real disk, and terminals that run."""

import contextlib
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import anyio

from punie.workspace.editor import EditorError, TerminalCommand, TerminalOutput


@dataclass
class MemoryEditor:
    """What people see in its editors is in `buffers`; other files it shows as they are on disk.

    As a JetBrains IDE it keeps line ends to itself; with `exact` it hands on what is there. With
    `saves` every write reaches the disk at once.
    """

    exact: bool = False
    saves: bool = True
    buffers: dict[Path, str] = field(default_factory=dict)
    read_error: EditorError | None = None
    write_error: EditorError | None = None
    formats: bool = False
    calls: list[str] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0

    async def read(self, path: Path) -> str:
        self.calls.append(f"read {path.name}")
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await anyio.sleep(0)
        self.busy -= 1
        if self.read_error is not None:
            raise self.read_error
        if path in self.buffers:
            return self.buffers[path]
        try:
            text = path.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise EditorError(str(error)) from error
        if self.exact:
            return text
        return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")

    async def write(self, path: Path, text: str) -> None:
        self.calls.append(f"write {path.name}")
        if self.write_error is not None:
            raise self.write_error
        if not self.exact:
            # The assertion that an IDE's document makes.
            assert "\r" not in text
            assert not text.startswith("\ufeff")
        if self.formats:
            text = text.rstrip() + "\n"
        if self.saves:
            self.save(path, text)
        else:
            self.buffers[path] = text

    def save(self, path: Path, text: str | None = None) -> None:
        """Put a buffer on disk, with the line ends and the mark that the file had."""
        self.buffers.setdefault(path, "")
        buffer = self.buffers.pop(path)
        text = buffer if text is None else text
        old = path.read_bytes() if path.exists() else b""
        if not self.exact and b"\r\n" in old:
            text = text.replace("\n", "\r\n")
        if not self.exact and old.startswith(b"\xef\xbb\xbf"):
            text = "\ufeff" + text
        path.write_bytes(text.encode())


@dataclass
class LocalTerminals:
    """Terminals that really run programs; what is done with them is in `calls`."""

    create_error: EditorError | None = None
    calls: list[str] = field(default_factory=list)
    commands: list[TerminalCommand] = field(default_factory=list)
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    screens: dict[str, IO[bytes]] = field(default_factory=dict)
    silent: bool = False

    async def create(self, command: TerminalCommand) -> str:
        self.calls.append("create")
        self.commands.append(command)
        if self.create_error is not None:
            raise self.create_error
        terminal = f"t{len(self.commands)}"
        self.screens[terminal] = tempfile.TemporaryFile()  # noqa: SIM115, lives as long
        self.running[terminal] = subprocess.Popen(
            command.arguments,
            cwd=command.cwd,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=self.screens[terminal],
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return terminal

    async def wait(self, terminal: str) -> int | None:
        self.calls.append("wait")
        while (code := self.running[terminal].poll()) is None:
            await anyio.sleep(0.01)
        return code if code >= 0 else 128 - code

    async def output(self, terminal: str) -> TerminalOutput:
        self.calls.append("output")
        screen = self.screens[terminal]
        screen.seek(0)
        data = screen.read()
        limit = self.commands[-1].output_bytes
        return TerminalOutput(data[-limit:].decode(), len(data) > limit)

    async def kill(self, terminal: str) -> None:
        self.calls.append("kill")
        self._end(terminal)
        if self.silent:
            await anyio.sleep_forever()

    async def release(self, terminal: str) -> None:
        self.calls.append("release")
        self._end(terminal)
        if self.silent:
            await anyio.sleep_forever()

    def _end(self, terminal: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.running[terminal].pid, signal.SIGKILL)
