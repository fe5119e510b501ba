"""How much memory a machine has for models, from what its files and programs say."""

import os
from pathlib import Path

import pytest

from punie.models.machine import linux_memory, mac_memory, machine_memory

GIB = 1 << 30
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                              100000.
Pages active:                            500000.
Pages inactive:                          400000.
Pages speculative:                        10000.
Pages throttled:                              0.
Pages wired down:                        200000.
Pages purgeable:                           5000.
"""


@pytest.mark.parametrize(
    ("ram", "limit_mb", "usable", "bound"),
    [
        (16, 0, 16 * GIB * 2 // 3, "metal"),
        (36, 0, 24 * GIB, "metal"),
        (64, 0, 48 * GIB, "metal"),
        (128, 0, 96 * GIB, "metal"),
        (32, 26_624, 26 * GIB, "metal_setting"),
        (32, 99_999, 32 * GIB, "metal_setting"),
    ],
)
def test_a_mac(ram: int, limit_mb: int, usable: int, bound: str) -> None:
    memory = mac_memory(ram * GIB, limit_mb, VM_STAT)
    assert (memory.total, memory.usable, memory.bound) == (ram * GIB, usable, bound)
    assert memory.available == 515_000 * 16_384
    assert memory.is_metal


def test_a_mac_whose_vm_stat_says_nothing() -> None:
    assert mac_memory(16 * GIB, 0, "").available == 16 * GIB


def linux(root: Path, cgroup: str = "", **files: str) -> Path:
    proc = root / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n")
    (proc / "self" / "cgroup").write_text(cgroup)
    for name, content in files.items():
        path = root / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_a_bare_machine(tmp_path: Path) -> None:
    memory = linux_memory(linux(tmp_path))
    assert (memory.total, memory.usable, memory.available) == (16 * GIB, 16 * GIB, 8 * GIB)
    assert memory.bound == "ram"
    assert not memory.is_metal


def test_control_groups_of_version_2_bound_it_at_every_level(tmp_path: Path) -> None:
    files = {
        "a/memory.max": f"{4 * GIB}\n",
        "a/memory.current": f"{3 * GIB}\n",
        "a/memory.stat": f"anon {GIB}\ninactive_file {GIB}\n",
        "a/b/memory.max": "max\n",
    }
    memory = linux_memory(linux(tmp_path, "0::/a/b\n", **files))
    assert (memory.usable, memory.available, memory.bound) == (4 * GIB, 2 * GIB, "control_group")


def test_a_limit_above_the_ram_is_none(tmp_path: Path) -> None:
    memory = linux_memory(linux(tmp_path, "0::/a\n", **{"a/memory.max": str(64 * GIB)}))
    assert (memory.usable, memory.bound) == (16 * GIB, "ram")


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    files = {
        "memory/box/memory.limit_in_bytes": f"{6 * GIB}\n",
        "memory/box/memory.usage_in_bytes": f"{GIB}\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    memory = linux_memory(linux(tmp_path, "5:cpu,memory:/box\n3:pids:/x\n", **files))
    assert (memory.usable, memory.available, memory.bound) == (6 * GIB, 5 * GIB, "control_group")


def test_inside_a_container_the_mount_itself_counts(tmp_path: Path) -> None:
    files = {"memory.max": f"{2 * GIB}\n", "memory.current": "0\n"}
    root = linux(tmp_path, "0::/../../../docker/abc\n", **files)
    assert linux_memory(root).usable == 2 * GIB


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    memory = linux_memory(tmp_path)
    assert memory.total == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_this_machine() -> None:
    memory = machine_memory()
    assert 0 < memory.available <= memory.usable <= memory.total
