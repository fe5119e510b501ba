"""What a step in a process of its own tells, and how the end of a silent one is told."""

import signal
import subprocess
import sys

import pytest
from pydantic import BaseModel

from punie.training.progress import Progress
from punie.training.worker_process import Reply, follow, how_it_ended, passed_on


def test_progress_is_paced_and_its_end_is_always_told() -> None:
    told: list[Reply] = []
    report = passed_on(told.append)
    for done in range(1, 100):
        report(Progress("reading", done, 100, "items", {"loss": 1.5}))
    assert len(told) < 50
    report(Progress("reading", 100, 100, "items"))
    ends = [reply.progress for reply in (told[0], told[-1]) if reply.progress is not None]
    assert [each["done"] for each in ends] == [1, 100]
    assert ends[0]["metrics"] == {"loss": 1.5}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (3, "ended with code 3"),
        (-signal.SIGSEGV, "was killed (SIGSEGV)"),
        (-signal.SIGKILL, "was killed (SIGKILL), as the system does when memory runs out"),
    ],
)
def test_how_a_process_ended(code: int, said: str) -> None:
    assert how_it_ended(code) == said


class Order(BaseModel):
    word: str


def started(code: str) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe)


def test_a_worker_is_followed_to_its_last_word() -> None:
    code = (
        "import json; word = json.loads(input())['word']\n"
        "print(json.dumps({'progress': {'doing': word}}))\n"
        "print(json.dumps({'ended': 'failed', 'sentence': 'No.'}))"
    )
    seen: list[Reply] = []
    process = started(code)
    last = follow(process, Order(word="go"), seen.append, lambda: False)
    assert [reply.progress for reply in seen] == [{"doing": "go"}]
    assert last == Reply(ended="failed", sentence="No.")
    assert process.returncode == 0


def test_a_worker_that_dies_has_no_last_word_and_one_that_is_to_stop_is_told() -> None:
    process = started("import os; os.abort()")
    assert follow(process, Order(word="go"), print, lambda: False) is None
    assert process.returncode == -signal.SIGABRT
    process = started("import time; time.sleep(600)")
    assert follow(process, Order(word="go"), print, lambda: True) is None
    assert process.returncode == -signal.SIGTERM
