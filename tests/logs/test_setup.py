import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from punie.logs.rotation import log_file
from punie.logs.setup import (
    close_log,
    configure_logging,
    get_logger,
    log_context,
    open_log,
)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_log()


def entries(state: Path) -> list[dict[str, Any]]:
    close_log()
    text = log_file(state).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def run(code: str, state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, str(state)], capture_output=True, text=True, check=False
    )


START = """
import sys, logging
from pathlib import Path
from punie.logs.setup import configure_logging, get_logger, open_log
log = get_logger("test")
log.info("too early")
configure_logging(Path(sys.argv[1]), "INFO", None, "acp")
"""


def test_an_entry_says_who_when_and_where(tmp_path: Path) -> None:
    configure_logging(tmp_path, "INFO", Path("/project"), "acp")
    with log_context(session="s1"):
        get_logger("punie.x").info("started", number=1)
    get_logger("punie.x").debug("too fine")
    (entry,) = entries(tmp_path)
    assert entry["event"] == "started"
    assert entry["level"] == "INFO"
    assert entry["logger"] == "punie.x"
    assert entry["command"] == "acp"
    assert entry["project"] == "/project"
    assert entry["session"] == "s1"
    assert entry["number"] == 1
    assert entry["time"].endswith("Z")
    assert isinstance(entry["pid"], int)


def test_what_was_said_before_is_dropped_and_the_rest_is_there_at_exit(tmp_path: Path) -> None:
    done = run(START + "log.info('kept')", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [entry["event"] for entry in entries(tmp_path)] == ["kept"]


def test_structlog_is_imported_only_when_the_log_is_opened(tmp_path: Path) -> None:
    code = START + (
        "log.info('one'); assert 'structlog' not in sys.modules\n"
        "open_log(); assert 'structlog' in sys.modules"
    )
    assert run(code, tmp_path).stderr == ""


def test_a_warning_is_on_the_disk_at_once(tmp_path: Path) -> None:
    configure_logging(tmp_path, "INFO", None, "acp")
    get_logger("x").info("first")
    get_logger("x").warning("second")
    text = log_file(tmp_path).read_text(encoding="utf-8")
    assert [json.loads(line)["event"] for line in text.splitlines()] == ["first", "second"]


def test_an_ordinary_event_is_on_the_disk_soon(tmp_path: Path) -> None:
    code = START + (
        "import time\nlog.info('one')\nwhile not (Path(sys.argv[1]) / 'logs/punie.log').exists(): "
        "time.sleep(0.05)\nimport os; os.kill(os.getpid(), 9)"
    )
    assert run(code, tmp_path).returncode == -9
    assert [entry["event"] for entry in entries(tmp_path)] == ["one"]


def test_exceptions_come_with_their_traceback_masked(tmp_path: Path) -> None:
    configure_logging(tmp_path, "INFO", None, "acp")
    try:
        raise ValueError("token=abcdefghijklmnop")
    except ValueError:
        get_logger("x").exception("it failed")
    (entry,) = entries(tmp_path)
    assert "ValueError" in entry["exception"]
    assert "abcdefghijklmnop" not in json.dumps(entry)


def test_libraries_never_reach_stderr(tmp_path: Path) -> None:
    code = START + (
        "logging.error('from the root')\nlogging.getLogger('acp').warning('from %s', 'a library')\n"
        "logging.getLogger('acp').info('chatter')\nlogging.getLogger('punie.y').info('ours')"
    )
    done = run(code, tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    said = [(entry["level"], entry["event"]) for entry in entries(tmp_path)]
    assert said == [("ERROR", "from the root"), ("WARNING", "from a library"), ("INFO", "ours")]


def test_a_field_that_cannot_be_shown_breaks_nothing(tmp_path: Path) -> None:
    class Evil:
        def __str__(self) -> str:
            raise RuntimeError("no")

    configure_logging(tmp_path, "INFO", None, "acp")
    get_logger("x").warning("evil", field=Evil())
    get_logger("x").warning("after")
    assert entries(tmp_path)[-1]["event"] == "after"


def test_fields_cannot_pose_as_ours(tmp_path: Path) -> None:
    configure_logging(tmp_path, "INFO", None, "acp")
    get_logger("x").warning("odd", message="surrogate \ud800", count=10**30)
    (entry,) = entries(tmp_path)
    assert entry["event"] == "odd"


def test_a_folder_that_cannot_be_written_breaks_nothing(tmp_path: Path) -> None:
    done = run(START + "log.error('lost')", tmp_path / "x")
    assert done.returncode == 0
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = run(START + "log.error('lost')", tmp_path / "file")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_standard_loggers_get_one_handler_only(tmp_path: Path) -> None:
    configure_logging(tmp_path, "INFO", None, "acp")
    configure_logging(tmp_path, "INFO", None, "ask")
    logging.getLogger("lib").warning("once")
    open_log()
    (entry,) = entries(tmp_path)
    assert entry["command"] == "ask"
