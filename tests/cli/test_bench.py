"""`punie bench` through the installed program, on a small model of random weights."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.models.families import build_family


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_family(tmp_path_factory.mktemp("bench") / "small", "qwen3", "append"))


def test_decode_and_reuse(punie: Command, small: str) -> None:
    done = punie("bench", small, "--only", "decode,reuse", "--json")
    assert "Traceback" not in done.stderr
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        "loading the model",
        "decode",
        "reuse",
    ]
    found = json.loads(done.stdout)
    assert found["model"] == small
    rows: dict[str, dict[str, Any]] = {row["name"]: row for row in found["rows"]}
    assert list(rows) == [
        "speed of writing",
        "first token",
        "read again in a conversation",
        "read again after a restart",
        "tokens read",
        "time",
    ]
    for row in rows.values():
        sign, value = row["limit"].rsplit(" ", 1)
        within = row["value"] <= float(value) if sign == "at most" else row["value"] >= float(value)
        assert row["holds"] is within
    assert done.returncode == int(not all(row["holds"] for row in rows.values()))
    # Counters do not depend on what else the machine does.
    assert rows["read again in a conversation"]["value"] == 0
    assert rows["read again after a restart"]["value"] == 0
    assert 0 < rows["tokens read"]["value"] <= 1
    assert rows["speed of writing"]["value"] > 0.3
    # Nothing of it stays.
    assert not (punie.state / "prefixes").exists()


def test_lines_for_a_person(punie: Command, small: str) -> None:
    done = punie("bench", small, "--only", "grammar, grammar")
    assert "Traceback" not in done.stderr
    title, _, heading, *lines = done.stdout.splitlines()
    assert title.startswith("small")
    assert heading.startswith("grammar: ")
    assert len(lines) == 7
    assert all(line[:3] in ("ok ", "no ", "   ") for line in lines)
    assert done.returncode == int(any(line.startswith("no ") for line in lines))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--only", "decode,speed"], 2, "there is no 'speed'"),
        (["/nowhere/model"], 1, "/nowhere/model"),
    ],
)
def test_what_cannot_be_measured(
    punie: Command, arguments: list[str], code: int, said: str
) -> None:
    done = punie("bench", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_has_no_engine(punie: Command, script: Callable[..., str]) -> None:
    done = punie("bench", script({"text": "Hello."}))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("is a script for tests; choose a model.\n")


@contextmanager
def started(punie: Command, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    process = punie.start("bench", *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_it(punie: Command, small: str) -> None:
    with started(punie, small, "--only", "memory") as process:
        assert process.stderr is not None
        assert any(line.startswith("memory") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "punie: stopped.\n")
    assert "Traceback" not in output


def children(process: "subprocess.Popen[str]") -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        # A thread may have ended by now.
        with suppress(FileNotFoundError):
            found += map(int, (task / "children").read_text().split())
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="finds children by way of /proc")
@pytest.mark.parametrize("name", ["reuse", "start"])
def test_ctrl_c_ends_what_was_started_too(punie: Command, small: str, name: str) -> None:
    with started(punie, small, "--only", name) as process:
        deadline = time.monotonic() + 60
        others: list[int] = []
        while not others and time.monotonic() < deadline and process.poll() is None:
            others = children(process)
            time.sleep(0.02)
        assert len(others) == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.endswith("punie: stopped.\n")
    assert "Traceback" not in errors
    assert not Path(f"/proc/{others[0]}").exists()
