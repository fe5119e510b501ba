import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

from punie.logs.rotation import FILES, RotatingFile, all_log_files, log_file

WRITER = """
import sys
from pathlib import Path
from punie.logs.rotation import RotatingFile
file = RotatingFile(Path(sys.argv[1]), max_bytes=int(sys.argv[4]))
for number in range(int(sys.argv[3])):
    file.write('{"writer": "%s", "number": %d, "fill": "%s"}' % (sys.argv[2], number, "x" * 50))
"""


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def everything(path: Path) -> list[str]:
    return [line for file in reversed(all_log_files(path)) if file.exists() for line in lines(file)]


def test_it_creates_the_folder_for_the_user_alone(tmp_path: Path) -> None:
    path = log_file(tmp_path / "state")
    RotatingFile(path).write("one")
    assert lines(path) == ["one"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_old_files_move_up_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "punie.log"
    file = RotatingFile(path, max_bytes=100)
    for number in range(200):
        file.write(f"line {number:03}")
    existing = [name for name in all_log_files(path) if name.exists()]
    assert len(existing) == FILES
    assert all(name.stat().st_size <= 100 for name in existing)
    kept = everything(path)
    assert kept == [f"line {number:03}" for number in range(200 - len(kept), 200)]
    assert not path.with_name(f"punie.log.{FILES}").exists()


def test_a_line_longer_than_the_file_is_written_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "punie.log"
    file = RotatingFile(path, max_bytes=10)
    file.write("a" * 50)
    file.write("b" * 50)
    assert lines(path) == ["b" * 50]
    assert lines(all_log_files(path)[1]) == ["a" * 50]


@pytest.mark.parametrize("max_bytes", [10_000_000, 40_000])
def test_several_processes_lose_and_tear_nothing(tmp_path: Path, max_bytes: int) -> None:
    path = tmp_path / "punie.log"
    count = 400
    arguments = [str(count), str(max_bytes)]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, *arguments])
        for name in "abc"
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    found = [json.loads(line) for line in everything(path)]
    for name in "abc":
        numbers = [entry["number"] for entry in found if entry["writer"] == name]
        assert numbers == list(range(count))


def test_a_held_lock_delays_nothing_for_long(tmp_path: Path) -> None:
    path = tmp_path / "punie.log"
    file = RotatingFile(path)
    file.write("one")
    with (tmp_path / "punie.log.lock").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        file.write("two")
    assert lines(path) == ["one", "two"]


def test_a_removed_file_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "punie.log"
    file = RotatingFile(path)
    file.write("one")
    path.unlink()
    file.write("two")
    assert lines(path) == ["two"]


def test_where_nothing_can_be_written_nothing_happens(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way", encoding="utf-8")
    file = RotatingFile(log_file(tmp_path))
    file.write("one")
    file.write("two")
    assert (tmp_path / "logs").read_text(encoding="utf-8") == "in the way"


# A limit on the size of files fails writes in the same way as a full disk does: first a part of
# the line is written, then nothing.
FULL_DISK = """
import resource, sys
from pathlib import Path
from punie.logs.rotation import RotatingFile
file = RotatingFile(Path(sys.argv[1]))
file.write("a" * 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (30, resource.RLIM_INFINITY))
file.write("b" * 20)
if sys.argv[2] == "nothing more fits":
    file.write("c" * 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.write("d" * 20)
"""


@pytest.mark.parametrize(
    ("then", "last"), [("space is made", ["d" * 20]), ("nothing more fits", [])]
)
def test_a_full_disk_is_survived(tmp_path: Path, then: str, last: list[str]) -> None:
    path = tmp_path / "punie.log"
    subprocess.run([sys.executable, "-c", FULL_DISK, str(path), then], check=True)
    assert lines(path) == ["a" * 20, "b" * 9, *last]


def test_line_ends_inside_become_spaces(tmp_path: Path) -> None:
    path = tmp_path / "punie.log"
    RotatingFile(path).write("a\nb\udcff")
    assert lines(path) == ["a b\\udcff"]
