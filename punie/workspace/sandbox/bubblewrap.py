"""Confinement on Linux: namespaces of the kernel, set up by bubblewrap."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from punie.workspace.sandbox.view import View

# Root in the sandbox may do with files what it may outside, and nothing with mounts or devices.
_KEPT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID")
# Through the sockets in /run services outside would do what a command asks for. These are names.
_KEPT_OF_RUN = (
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/run/current-system",
    "/run/opengl-driver",
)
# Root may write there without any capability, also in a user namespace: it is the owner.
_SETTINGS_OF_THE_KERNEL = ("sys", "sysrq-trigger", "acpi", "driver", "fs", "mtrr", "scsi")
_ACCELERATORS = ("nvidia*", "dri", "kfd")
TEMPORARY = Path("/tmp")
_REPLACED = (TEMPORARY, Path("/run"))
# The first process in there has to collect orphans, and takes the rest along when it ends. What a
# shell says of a command that was killed is not the command's own output.
_FIRST_PROCESS = 'exec 3>&2 2>/dev/null; (exec "$@" 2>&3 3>&-); exit $?'


class _Mount(NamedTuple):
    path: Path
    rank: int
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Bubblewrap:
    """A `bwrap` that works here, and with what.

    Without a `user_namespace` it is root that sets up the rest. Without `own_processes` commands
    see the processes outside, which they cannot touch in a user namespace. With `overlay` writes to
    caches are kept in memory.
    """

    program: str
    version: str
    user_namespace: bool
    own_processes: bool
    overlay: bool

    @property
    def name(self) -> str:
        """What the sandbox is, for people."""
        lacks = "" if self.own_processes else ", without process numbers of its own"
        return f"{self.version} ({self.program}){lacks}"

    @property
    def monitors(self) -> bool:
        """Whether a process of the sandbox waits for the command, which is not to be ended."""
        return True

    @property
    def keeps_caches(self) -> bool:
        """Whether programs find their caches where they are used to."""
        return self.overlay

    def temporary(self, view: View) -> Path:
        """Return where a command finds the folder for temporary files."""
        return TEMPORARY

    def places(self, view: View) -> tuple[Path, ...]:
        """Return the folders that are made for a while where the view has nothing."""
        return tuple(path for path in view.absent if os.access(path.parent, os.W_OK))

    def wrap(self, arguments: Sequence[str], cwd: Path, view: View) -> list[str]:
        """Return the command line that runs this one confined."""
        found = [self.program, "--die-with-parent", "--unshare-ipc", "--cap-drop", "ALL"]
        if self.user_namespace:
            found.append("--unshare-user")
        else:
            for name in _KEPT_CAPABILITIES:
                found += ["--cap-add", f"CAP_{name}"]
        if self.own_processes:
            found += ["--unshare-pid", "--as-pid-1"]
        if not view.network:
            found.append("--unshare-net")
        # A folder comes before what is in it, whatever stands for what.
        for mount in sorted(self._mounts(view), key=lambda each: (len(each.path.parts), each.rank)):
            found.extend(mount.arguments)
        folder = os.path.realpath(cwd) if cwd.is_relative_to(TEMPORARY) else str(cwd)
        first = ["/bin/sh", "-c", _FIRST_PROCESS, "sh"]
        return [*found, "--chdir", folder, "--", *first, *arguments]

    def _mounts(self, view: View) -> Iterable[_Mount]:
        yield from _system(own_processes=self.own_processes)
        yield _Mount(TEMPORARY, 0, ("--bind", str(view.scratch), str(TEMPORARY)))
        for path in view.needed:
            if any(path != each and path.is_relative_to(each) for each in _REPLACED):
                yield _mount("--ro-bind", path, 1)
        for path in view.caches if self.overlay else ():
            yield _Mount(path, 2, ("--overlay-src", str(path), "--tmp-overlay", str(path)))
        for path in view.writable:
            yield _mount("--bind", path, 3)
        for path in view.guarded:
            yield _mount("--ro-bind", path, 4)
        for path in self.places(view):
            yield _Mount(path, 4, ("--tmpfs", str(path), "--remount-ro", str(path)))
        for path in view.hidden:
            yield _Mount(path, 5, _hiding(path))


def _system(*, own_processes: bool) -> Iterable[_Mount]:
    yield _mount("--ro-bind", Path("/"), 0)
    yield _Mount(Path("/dev"), 0, ("--dev", "/dev"))
    if own_processes:
        yield _Mount(Path("/proc"), 0, ("--proc", "/proc"))
        for name in _SETTINGS_OF_THE_KERNEL:
            yield _mount("--ro-bind-try", Path("/proc") / name, 1)
    for pattern in _ACCELERATORS:
        for device in Path("/dev").glob(pattern):
            yield _mount("--dev-bind-try", device, 1)
    for folder in (Path("/run"), Path("/var/run")):
        if folder.is_dir() and not folder.is_symlink():
            yield _Mount(folder, 0, ("--tmpfs", str(folder)))
    for name in _KEPT_OF_RUN:
        yield _mount("--ro-bind-try", Path(name), 1)


def _mount(option: str, path: Path, rank: int) -> _Mount:
    return _Mount(path, rank, (option, str(path), str(path)))


def _hiding(path: Path) -> tuple[str, ...]:
    if path.is_dir():
        return ("--perms", "0000", "--tmpfs", str(path), "--remount-ro", str(path))
    # A device on such a mount cannot be opened, not even by root.
    return ("--ro-bind", "/dev/null", str(path))
