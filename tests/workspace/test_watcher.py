"""A killed program leaves no process group behind, except those it has let go."""

import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.client import eventually, process_exists

PROGRAM = """
import subprocess, sys, time
from pathlib import Path
from punie.workspace.processes import forget_group, start_group

sleep = ["sleep", "987"]
groups = [start_group(sleep, Path("/"), stdout=2, stderr=2) for _ in range(4)]
forget_group(groups[1])
forget_group(groups[3])
print(*[group.number for group in groups], flush=True)
time.sleep(600)
"""


def test_after_a_kill(tmp_path: Path) -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE)
    assert program.stdout is not None
    groups = [int(word) for word in program.stdout.readline().split()]
    assert all(process_exists(group) for group in groups)
    program.kill()
    program.wait()
    program.stdout.close()
    try:
        for ended in (groups[0], groups[2]):
            assert eventually(lambda ended=ended: not process_exists(ended))  # type: ignore[misc]
        time.sleep(0.1)
        assert all(process_exists(left) for left in (groups[1], groups[3]))
    finally:
        for left in (groups[1], groups[3]):
            subprocess.run(["kill", "-9", str(left)], check=True)
