import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.logs.reader import LogFilter, LogReader, parse_line, parse_since
from punie.logs.rotation import RotatingFile

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ALL = LogFilter()


def entry(event: str, minutes_ago: float = 0, level: str = "INFO", **fields: Any) -> str:
    time = (NOW - timedelta(minutes=minutes_ago)).isoformat().replace("+00:00", "Z")
    return json.dumps({"time": time, "level": level, "event": event, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "punie.log"


def events(reader: LogReader, wanted: LogFilter = ALL, limit: int | None = None) -> list[str]:
    return [record.event for record in reader.newest_first(wanted, limit)]


def test_newest_first_across_rotated_files(path: Path) -> None:
    file = RotatingFile(path, max_bytes=500)
    for number in range(20):
        file.write(entry(str(number)))
    found = events(LogReader(path))
    assert found == [str(number) for number in range(19, 19 - len(found), -1)]
    assert len(found) > 10
    assert events(LogReader(path), limit=3) == ["19", "18", "17"]


def test_lines_longer_than_a_block(path: Path) -> None:
    file = RotatingFile(path)
    for name in "abc":
        file.write(entry(name, fill="é" * 100_000))
    assert events(LogReader(path)) == ["c", "b", "a"]


def test_broken_lines_are_skipped_and_counted(path: Path) -> None:
    path.write_bytes(
        b"\n".join(
            [
                entry("one").encode(),
                b'{"time": "2026-01-31T12:00:00Z", "lev',
                b"\xff\xfe",
                b"[]",
                b'{"time": 1, "level": "INFO", "event": "x"}',
                b"[" * 50_000,
                b"",
                entry("two").encode(),
            ]
        )
    )
    reader = LogReader(path)
    assert events(reader) == ["two", "one"]
    assert reader.broken == 5


@given(st.binary(max_size=200))
def test_no_line_breaks_the_reader(line: bytes) -> None:
    parse_line(line)


def test_nothing_there(path: Path) -> None:
    reader = LogReader(path)
    assert not reader.exists()
    assert events(reader) == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (LogFilter(level="WARNING"), ["e", "w"]),
        (LogFilter(session="abc"), ["w"]),
        (LogFilter(project="/home/u/shop"), ["e", "i"]),
        (LogFilter(project="shop"), ["e", "i"]),
        (LogFilter(project="/home/u/sho"), []),
        (LogFilter(since=NOW - timedelta(minutes=15)), ["e", "w"]),
        (LogFilter(pattern=re.compile("tool.*edit")), ["i"]),
        (LogFilter(level="ERROR", session="abc"), []),
    ],
)
def test_filters(path: Path, wanted: LogFilter, expected: list[str]) -> None:
    file = RotatingFile(path)
    file.write(entry("d", 60, "DEBUG", session=7))
    file.write(entry("i", 30, "INFO", project="/home/u/shop", tool="edit_file"))
    file.write(entry("w", 10, "WARNING", session="abcdef"))
    file.write(entry("e", 5, "ERROR", project="/home/u/shop/sub"))
    assert events(LogReader(path), wanted) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        ("3 d", NOW - timedelta(days=3)),
        ("1W", NOW - timedelta(weeks=1)),
        ("2026-01-30T10:00:00+00:00", datetime(2026, 1, 30, 10, tzinfo=UTC)),
        ("2026-01-30", datetime(2026, 1, 30).astimezone()),
    ],
)
def test_since(text: str, expected: datetime) -> None:
    assert parse_since(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "10", "5y", "-1h", "999999999w", "2026-13-01"])
def test_since_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|too long ago"):
        parse_since(text, NOW)


class StopFollowing(Exception):  # noqa: N818
    pass


def follow(path: Path, tail: int, *steps: Any, wanted: LogFilter = ALL) -> list[str]:
    """Follow the log while the steps happen, one at every wait, and return the events seen."""
    pending = list(steps)

    def wait() -> None:
        if not pending:
            raise StopFollowing
        pending.pop(0)()

    seen: list[str] = []
    try:
        for record in LogReader(path).follow(wanted, tail, wait=wait):
            seen.append(record.event)
    except StopFollowing:
        return seen
    raise AssertionError("following ended")


def test_follow_shows_the_tail_and_what_comes(path: Path) -> None:
    file = RotatingFile(path)
    for name in "abc":
        file.write(entry(name))
    assert follow(path, 2, lambda: file.write(entry("d"))) == ["b", "c", "d"]


def test_follow_waits_for_a_log_that_does_not_exist(path: Path) -> None:
    file = RotatingFile(path)
    steps = [lambda: None, lambda: file.write(entry("a")), lambda: file.write(entry("b"))]
    assert follow(path, 5, *steps) == ["a", "b"]


def test_follow_survives_rotation_and_a_fast_writer(path: Path) -> None:
    file = RotatingFile(path, max_bytes=200)

    def burst(start: int) -> None:
        for number in range(start, start + 6):
            file.write(entry(str(number)))

    file.write(entry("0"))
    seen = follow(path, 1, lambda: burst(1), lambda: burst(7), lambda: burst(13))
    assert seen == [str(number) for number in range(19)]


def test_follow_waits_for_the_end_of_a_line(path: Path) -> None:
    line = entry("whole") + "\n"
    path.write_text(entry("a") + "\n", encoding="utf-8")

    def append(text: str) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)

    assert follow(path, 1, lambda: append(line[:20]), lambda: append(line[20:])) == ["a", "whole"]


def test_follow_after_the_log_was_deleted(path: Path) -> None:
    file = RotatingFile(path, max_bytes=200)
    for number in range(6):
        file.write(entry(str(number)))

    def again() -> None:
        path.unlink()
        file.write(entry("new"))

    assert follow(path, 1, again) == ["5", "new"]


def test_follow_filters(path: Path) -> None:
    file = RotatingFile(path)
    file.write(entry("a", level="ERROR"))

    def more() -> None:
        file.write(entry("b"))
        file.write(entry("c", level="ERROR"))

    assert follow(path, 9, more, wanted=LogFilter(level="ERROR")) == ["a", "c"]
