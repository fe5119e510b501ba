"""How much memory this machine has for models, and how much of it is free now.

On a Mac the processor and the graphics unit share the RAM, and Metal keeps only a part of it
resident for a model. What part is `recommendedMaxWorkingSetSize`, which only Metal itself tells;
without importing MLX the default is estimated from the RAM: two thirds up to 36 GB, three
quarters above. Published readings lie at or above that: 10.67 of 16 GB (exo#1672) and 11.84 of
16 GB (llmfit#754), 17.76 of 24 GiB (sglang#29949), 107.52 of 128 GiB (ds4#893). The sysctl
`iogpu.wired_limit_mb` sets it by hand; 0 means the default, and Metal follows it (llmfit#754).

On Linux it is the RAM, or what the process's control group may use where that is less.
"""

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

_GIB = 1 << 30
_MIB = 1 << 20
_SMALL_MAC = 36 * _GIB
_NO_LIMIT = 1 << 60
"""Control groups of version 1 write a number near 2**63 where there is no limit."""

Bound = Literal["ram", "metal", "metal_setting", "control_group"]
"""What bounds the memory for models."""


@dataclass(frozen=True)
class MachineMemory:
    """Memory in bytes: `total` RAM, `usable` by a model at most, `available` at this moment.

    `bound` is what `usable` comes from.
    """

    total: int
    usable: int
    available: int
    bound: Bound

    @property
    def is_metal(self) -> bool:
        """Whether models run on Metal here."""
        return self.bound in ("metal", "metal_setting")


def machine_memory(*, measure_free: bool = True) -> MachineMemory:
    """Look at this machine; takes about a millisecond, and on a Mac the time of a process more.

    Without `measure_free` what is free is not looked at, and all that is usable counts as such.
    """
    if sys.platform == "darwin":
        vm_stat = _vm_stat() if measure_free else ""
        found = mac_memory(_ram(), _sysctl("iogpu.wired_limit_mb"), vm_stat)
    else:
        found = linux_memory(Path("/"))
    return found if measure_free else replace(found, available=found.usable)


def mac_memory(total: int, limit_mb: int, vm_stat: str) -> MachineMemory:
    """Return a Mac's memory from its RAM, `iogpu.wired_limit_mb` and the output of `vm_stat`."""
    if limit_mb > 0:
        bound: Bound = "metal_setting"
        usable = min(total, limit_mb * _MIB)
    else:
        bound = "metal"
        usable = total * 2 // 3 if total <= _SMALL_MAC else total * 3 // 4
    return MachineMemory(total, usable, min(total, _available_on_mac(vm_stat, total)), bound)


def linux_memory(root: Path) -> MachineMemory:
    """Return a Linux machine's memory; `root` is where `proc` and `sys` lie."""
    info = _meminfo(root / "proc" / "meminfo")
    total = info.get("MemTotal") or _ram()
    usable, available, bound = total, info.get("MemAvailable", total), "ram"
    for limit, used in _control_groups(root):
        if limit < usable:
            usable, bound = limit, "control_group"
        available = min(available, max(0, limit - used))
    return MachineMemory(total, usable, min(usable, available), bound)  # type: ignore[arg-type]


def _ram() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _sysctl(name: str) -> int:
    """Return a whole number that macOS keeps under `name`; 0 where there is none."""
    value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
    function: Callable[..., int] = ctypes.CDLL(None).sysctlbyname
    done = function(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    return value.value if done == 0 else 0


def _vm_stat() -> str:
    try:
        return subprocess.run(
            ["/usr/bin/vm_stat"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _available_on_mac(vm_stat: str, total: int) -> int:
    page = re.search(r"page size of (\d+)", vm_stat)
    if page is None:
        return total
    kinds = r"Pages (?:free|inactive|speculative|purgeable):\s+(\d+)"
    return int(page[1]) * sum(int(count) for count in re.findall(kinds, vm_stat))


def _meminfo(path: Path) -> dict[str, int]:
    found = {}
    for line in _text(path).splitlines():
        if match := re.match(r"(\w+):\s+(\d+) kB", line):
            found[match[1]] = int(match[2]) * 1024
    return found


def _control_groups(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use of each control group that bounds this process, both versions.

    Inside a container the path that the kernel names may not be visible; the group's own files
    then lie at the mount itself.
    """
    mount = root / "sys" / "fs" / "cgroup"
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for folder in _up(mount, path):
                limit = _number(folder / "memory.max")
                if limit is not None:
                    cold = _statistic(folder, "inactive_file")
                    yield limit, (_number(folder / "memory.current") or 0) - cold
        elif "memory" in controllers.split(","):
            for folder in _up(mount / "memory", path):
                limit = _number(folder / "memory.limit_in_bytes")
                if limit is not None and limit < _NO_LIMIT:
                    cold = _statistic(folder, "total_inactive_file")
                    yield limit, (_number(folder / "memory.usage_in_bytes") or 0) - cold


def _up(mount: Path, path: str) -> Iterator[Path]:
    folder = Path(os.path.normpath(mount / path.lstrip("/")))
    while mount in folder.parents:
        yield folder
        folder = folder.parent
    yield mount


def _statistic(folder: Path, name: str) -> int:
    """Return a count of memory.stat: the pages that the kernel would give back first."""
    match = re.search(rf"^{name} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
    return int(match[1]) if match else 0


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
