import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from punie.logs.rotation import RotatingFile, log_file
from tests.cli.conftest import Command

Write = Callable[..., None]


@pytest.fixture
def write(punie: Command) -> Write:
    file = RotatingFile(log_file(punie.state))

    def entry(event: str, level: str = "INFO", **fields: Any) -> None:
        now = datetime.now(UTC).isoformat()
        file.write(json.dumps({"time": now, "level": level, "event": event, **fields}))

    return entry


def test_no_log_yet_is_one_sentence(punie: Command) -> None:
    done = punie("logs")
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert str(log_file(punie.state)) in done.stderr


def test_newest_first_with_fields(punie: Command, write: Write) -> None:
    write("first", session="s1")
    write("second", "ERROR", path="a b.py", exception="Traceback\n  boom")
    done = punie("logs")
    second, trace, boom, first = done.stdout.splitlines()
    assert "ERROR" in second
    assert "path='a b.py'" in second
    assert (trace, boom) == ("    Traceback", "      boom")
    assert "session=s1" in first


def test_number_and_filters(punie: Command, write: Write) -> None:
    for number in range(60):
        write(f"event {number}", session=f"s{number % 2}", project="/p/shop")
    assert len(punie("logs").stdout.splitlines()) == 50
    assert len(punie("logs", "-n", "0").stdout.splitlines()) == 60
    assert len(punie("logs", "-n", "3").stdout.splitlines()) == 3
    assert len(punie("logs", "--session", "s1", "-n", "0").stdout.splitlines()) == 30
    assert len(punie("logs", "--grep", "EVENT 5[0-4]").stdout.splitlines()) == 5
    assert len(punie("logs", "--project", "shop", "-n", "7").stdout.splitlines()) == 7
    assert punie("logs", "--project", "/elsewhere").stdout == ""
    assert (
        len(punie("logs", "--since", "10m", "--level", "info", "-n", "9").stdout.splitlines()) == 9
    )
    assert punie("logs", "--level", "error").stdout == ""


def test_json_is_the_line_itself(punie: Command, write: Write) -> None:
    write("ä", nested={"a": [1]})
    (line,) = punie("logs", "--json").stdout.splitlines()
    assert line == log_file(punie.state).read_text(encoding="utf-8").strip()


def test_broken_lines_are_counted(punie: Command, write: Write) -> None:
    write("whole")
    with log_file(punie.state).open("a") as file:
        file.write('{"half\n')
    done = punie("logs")
    assert "whole" in done.stdout
    assert done.stderr == "punie: lines skipped because they are no log records: 1.\n"


@pytest.mark.parametrize(
    "arguments", [["--since", "soon"], ["--level", "loud"], ["--grep", "("], ["-n", "many"]]
)
def test_wrong_usage(punie: Command, arguments: list[str]) -> None:
    done = punie("logs", *arguments)
    assert done.returncode == 2
    assert arguments[0].lstrip("-") in done.stderr or arguments[1] in done.stderr
    assert "Traceback" not in done.stderr


def test_control_characters_are_written_out(punie: Command, write: Write) -> None:
    write("a\x1b[2Jb", field="\x07")
    out = punie("logs").stdout
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


def test_follow_until_interrupted(punie: Command, write: Write) -> None:
    write("before")
    process = punie.start("logs", "-f", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "before"
    write("after")
    assert json.loads(process.stdout.readline())["event"] == "after"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == ""


def test_a_reader_that_leaves_is_no_trouble(punie: Command, write: Write) -> None:
    for number in range(3_000):
        write(f"event {number}", fill="x" * 100)
    process = punie.start("logs", "-n", "0")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=30) in (0, 1)
