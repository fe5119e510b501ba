"""The sandbox of one workspace: how its commands are started, and what is tidied up behind them."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread

from punie.workspace.base import Confinement, WorkspaceError
from punie.workspace.sandbox.blocked import what_was_blocked
from punie.workspace.sandbox.detect import Mechanism, NoSandbox, find_sandbox
from punie.workspace.sandbox.repository import repositories_below, strays_in
from punie.workspace.sandbox.view import SandboxOptions, View, view_of

_PREFIX = "punie-commands-"
# Tools run programs of Punie's own in there.
_INSTALLED = (Path(sys.prefix), Path(__file__).parents[2])


@dataclass(frozen=True)
class Launch:
    """How a command is started: its words, its environment, and its `view` if it is confined.

    `monitored` tells that the process started only waits for the command.
    """

    arguments: list[str]
    environment: Mapping[str, str]
    cwd: Path
    view: View | None = None
    monitored: bool = False


class Sandbox:
    """Confines the commands of one workspace.

    They share a folder for temporary files, which goes with the workspace. Folders that are
    guarded and not there stand empty on the disk for as long as something runs.
    """

    def __init__(self, roots: Sequence[Path], options: SandboxOptions) -> None:
        self._roots = tuple(roots)
        self._options = replace(options, own=(*options.own, *_own_environment(roots)))
        self._scratch: Path | None = None
        self._places: set[Path] = set()

    async def confinement(self) -> Confinement:
        """Tell whether commands run confined; the first call in a process tries it out."""
        if self._options.wanted == "off":
            return Confinement("off")
        found = await anyio.to_thread.run_sync(find_sandbox, self._roots, abandon_on_cancel=True)
        missing = found.reason if isinstance(found, NoSandbox) else ""
        return Confinement(self._options.wanted, missing)

    async def launch(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        *,
        unsandboxed: bool = False,
    ) -> Launch:
        """Return how to start a command, confined where that is wanted and works.

        Raises `WorkspaceError` if there is no place for temporary files.
        """
        if unsandboxed or self._options.wanted == "off":
            return Launch(list(arguments), environment, cwd)

        def prepare() -> Launch:
            mechanism = find_sandbox(self._roots)
            if isinstance(mechanism, NoSandbox):
                return Launch(list(arguments), environment, cwd)
            return self._confined(mechanism, arguments, cwd, environment)

        return await anyio.to_thread.run_sync(prepare)

    def _confined(
        self,
        mechanism: Mechanism,
        arguments: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
    ) -> Launch:
        view = view_of(
            self._roots, self._options, environment, self._folder(), _INSTALLED, self._places
        )
        self._places.update(mechanism.places(view))
        temporary = str(mechanism.temporary(view))
        changed = {"TMPDIR": temporary, "TMP": temporary, "TEMP": temporary}
        if not mechanism.keeps_caches:
            changed["XDG_CACHE_HOME"] = f"{temporary}/.cache"
        return Launch(
            mechanism.wrap(arguments, cwd, view),
            {**environment, **changed},
            cwd,
            view,
            mechanism.monitors,
        )

    def blocked(self, launch: Launch, exit_code: int | None, output: str) -> str | None:
        """Return what the sandbox kept a command from; see `what_was_blocked`."""
        mechanism = find_sandbox(self._roots)
        if launch.view is None or isinstance(mechanism, NoSandbox):
            return None
        temporary = mechanism.temporary(launch.view)
        return what_was_blocked(exit_code, output, launch.cwd, launch.view, temporary)

    def tidy(self) -> None:
        """Take away what stood in for missing folders, and what would mislead git.

        To be called when nothing runs. Blocks, and never raises.
        """
        for place in tuple(self._places):
            # Only an empty folder goes.
            with contextlib.suppress(OSError):
                place.rmdir()
        for root in self._roots if self._scratch is not None else ():
            for git in (root / ".git", *repositories_below(root)):
                for stray in strays_in(git) if git.is_dir() else ():
                    with contextlib.suppress(OSError):
                        stray.unlink()

    def close(self) -> None:
        """Tidy up and remove the folder for temporary files. Blocks, and never raises."""
        self.tidy()
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)

    def _folder(self) -> Path:
        if self._scratch is None or not self._scratch.is_dir():
            _remove_left_behind()
            try:
                self._scratch = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
            except OSError as error:
                raise WorkspaceError(f"there is no folder for temporary files: {error}") from error
        return self._scratch


def _own_environment(roots: Sequence[Path]) -> list[Path]:
    """Return the environment that this process runs from, if a root holds it.

    It imports from there as long as it runs, and what it imports is not confined.
    """
    prefix = Path(os.path.realpath(sys.prefix))
    inside = any(prefix.is_relative_to(os.path.realpath(root)) for root in roots)
    return [prefix] if inside else []


def _remove_left_behind() -> None:
    """Remove the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError, ValueError):
            if folder.stat().st_uid != os.getuid():
                continue
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
