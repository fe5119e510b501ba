import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from punie.server.record import is_locked, read_record
from tests.cli.conftest import PUNIE, Command
from tests.processes import processes_of
from tests.texts import numbers

Script = Callable[..., str]

EDIT = {
    "calls": [
        {
            "tool": "edit_file",
            "arguments": {
                "path": "a.py",
                "edits": [{"old_text": "value = 1", "new_text": "value = 2"}],
            },
        }
    ]
}
DONE = {"text": "It is done."}


def run_on_terminal(
    punie: Command, *arguments: str, answer: str, question: str = "[y/N]"
) -> tuple[int, str]:
    """Run the command on a terminal of its own and answer its question."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(punie.cwd)
        os.execve(PUNIE, punie.arguments(*arguments), punie.environment)
    seen = ""
    answered = False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                data = os.read(terminal, 65_536)
            except OSError:
                break
            if not data:
                break
            seen += data.decode()
        if question in seen and not answered:
            os.write(terminal, answer.encode())
            answered = True
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), seen


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The server of this file's tests: the first command that wants it starts it."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "home").mkdir()
    command = Command(folder / "home", folder / "state", folder)
    yield command
    end_server(command.state)


def end_server(state: Path, with_signal: signal.Signals = signal.SIGTERM) -> None:
    record = read_record(state)
    if record is not None:
        os.kill(record.pid, with_signal)
        deadline = time.monotonic() + 30
        while is_locked(state) and time.monotonic() < deadline:
            time.sleep(0.02)


@dataclass
class SharedCommand(Command):
    """The command, whose `ask` uses the server."""

    def arguments(self, *given: str) -> list[str]:
        return [*super().arguments(*given), *(["--shared"] if given[0] == "ask" else [])]


@pytest.fixture
def shared(server: Command, tmp_path: Path) -> Command:
    """The command in a project of its own, with the agent in the server."""
    (tmp_path / "project").mkdir()
    return SharedCommand(server.home, server.state, tmp_path / "project")


@pytest.fixture(params=["in-process", "shared"])
def either(request: pytest.FixtureRequest) -> Command:
    """The command with the agent here or in the server: it is the same."""
    name = "punie" if request.param == "in-process" else "shared"
    command: Command = request.getfixturevalue(name)
    return command


def test_the_answer_alone_goes_to_stdout(either: Command, script: Script) -> None:
    punie = either
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    read = {"calls": [{"tool": "read_file", "arguments": {"path": "a.py"}}]}
    done = punie("ask", "what is it?", "--model", script(read, {"text": "It is 1."}))
    assert done.returncode == 0
    assert done.stdout == "It is 1.\n"
    assert "a.py" in done.stderr
    assert "  value = 1\n" in done.stderr


def test_without_a_terminal_edits_are_denied(shared: Command, script: Script) -> None:
    punie = shared
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    done = punie("ask", "change it", "--model", script(EDIT, {"text": "Not allowed."}))
    assert done.returncode == 0
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 1\n"
    assert "--yes" in done.stderr
    assert "-value = 1" in done.stderr
    assert "+value = 2" in done.stderr


def test_yes_allows(either: Command, script: Script) -> None:
    punie = either
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    done = punie("ask", "change it", "--yes", "--model", script(EDIT, DONE))
    assert done.returncode == 0
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 2\n"


def test_mode_accept_edits_asks_nothing(shared: Command, script: Script) -> None:
    punie = shared
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    done = punie("ask", "change it", "--mode", "accept_edits", "--model", script(EDIT, DONE))
    assert done.returncode == 0
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 2\n"
    assert "+value = 2" in done.stderr


def test_yes_does_not_reach_into_plan_mode(shared: Command, script: Script) -> None:
    punie = shared
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    punie("ask", "change it", "--yes", "--mode", "plan", "--model", script(EDIT, DONE))
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 1\n"


def test_a_person_allows_on_the_terminal(either: Command, script: Script) -> None:
    punie = either
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    code, seen = run_on_terminal(
        punie, "ask", "change it", "--model", script(EDIT, DONE), answer="y\n"
    )
    assert code == 0
    assert "+value = 2" in seen
    assert "It is done." in seen
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 2\n"


def test_anything_but_yes_denies_on_the_terminal(shared: Command, script: Script) -> None:
    punie = shared
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    code, _ = run_on_terminal(punie, "ask", "change it", "--model", script(EDIT, DONE), answer="\n")
    assert code == 0
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 1\n"


ASK = {
    "calls": [
        {
            "tool": "ask_user",
            "arguments": {"question": "Which database?", "choices": ["SQLite", "Postgres"]},
        }
    ]
}


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("2\n", "  **Postgres**"),
        ("DuckDB\n", "  **DuckDB**"),
        ("7\n", "  **7**"),
        ("\n", "  the user did not answer"),
    ],
)
def test_the_model_asks_on_the_terminal(
    shared: Command, script: Script, answer: str, result: str
) -> None:
    code, seen = run_on_terminal(
        shared, "ask", "go", "--model", script(ASK, DONE), answer=answer, question="or its number:"
    )
    assert code == 0
    assert "Which database?" in seen
    assert "1. SQLite" in seen
    assert result in seen
    assert "It is done." in seen


def test_without_a_terminal_the_model_cannot_ask(either: Command, script: Script) -> None:
    punie = either
    done = punie("ask", "go", "--json", "--model", script(ASK, DONE))
    assert done.returncode == 0
    assert "there is no tool 'ask_user'" in done.stdout


def test_an_answer_for_good_on_the_terminal(shared: Command, script: Script) -> None:
    punie = shared
    echo = {"calls": [{"tool": "run_command", "arguments": {"command": "echo x >> ran"}}]}
    list_all = {"calls": [{"tool": "run_command", "arguments": {"command": "ls -a"}}]}
    code, seen = run_on_terminal(punie, "ask", "do it", "--model", script(echo, DONE), answer="a\n")
    assert code == 0
    assert "a  Always allow exactly `echo x >> ran`" in seen
    assert "Remembered: allow `echo x >> ran`" in seen
    assert punie("ask", "do it", "--model", script(echo, DONE)).returncode == 0
    assert (punie.cwd / "ran").read_text() == "x\nx\n"
    model = script(list_all, DONE)
    _, seen = run_on_terminal(punie, "ask", "look", "--model", model, answer="p\n")
    assert "p  Always allow `ls *` in this project" in seen
    _, seen = run_on_terminal(punie, "ask", "look", "--model", model, answer="never\n")
    assert "[y/N]" not in seen
    model = script({"calls": [{"tool": "run_command", "arguments": {"command": "cat ran"}}]}, DONE)
    _, seen = run_on_terminal(punie, "ask", "look", "--model", model, answer="never\n")
    assert "never  Never allow `cat *`" in seen
    assert punie("permissions").stdout == (
        "  1  always allow exactly `echo x >> ran`\n"
        "  2  always allow `ls *`\n"
        "  3  never allow `cat *`\n"
    )


def test_an_interrupt_at_the_question_cancels(either: Command, script: Script) -> None:
    punie = either
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    code, _ = run_on_terminal(
        punie, "ask", "change it", "--model", script(EDIT, DONE), answer="\x03"
    )
    assert code == 130
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 1\n"


def test_the_model_cannot_steer_the_terminal(shared: Command, script: Script) -> None:
    punie = shared
    code, seen = run_on_terminal(
        punie, "ask", "hello", "--model", script({"text": "a\x1b]0;title\x07b"}), answer=""
    )
    assert code == 0
    assert "\x1b]0;" not in seen


def test_json_prints_what_happens(either: Command, script: Script) -> None:
    punie = either
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    done = punie("ask", "change it", "--json", "--yes", "--model", script(EDIT, DONE))
    assert done.returncode == 0
    first, *middle, last = map(json.loads, done.stdout.splitlines())
    assert (first["type"], first["cwd"]) == ("prompt", str(punie.cwd))
    assert first["prompt"] == [{"type": "text", "text": "change it"}]
    assert last == {"type": "end", "stopReason": "end_turn"}
    (asked,) = [line for line in middle if line["type"] == "permission"]
    assert asked["chosen"] == "allow_once"
    assert asked["toolCall"]["content"][0]["newText"] == "value = 2\n"
    updates = [line["update"] for line in middle if line["type"] == "update"]
    statuses = [each["status"] for each in updates if "status" in each]
    assert (statuses[0], statuses[-1]) == ("pending", "completed")
    said = [each for each in updates if each["sessionUpdate"] == "agent_message_chunk"]
    assert "".join(each["content"]["text"] for each in said) == "It is done."


def test_the_prompt_comes_from_stdin(punie: Command, script: Script) -> None:
    done = punie("ask", "-", "--json", "--model", script(DONE), text="from a pipe\n")
    assert json.loads(done.stdout.splitlines()[0])["prompt"][0]["text"] == "from a pipe\n"


def test_what_is_piped_goes_along_with_the_prompt(either: Command, script: Script) -> None:
    punie = either
    model = script(DONE)
    done = punie("ask", "Review this", "--json", "--model", model, text="+value = 2\n")
    assert json.loads(done.stdout.splitlines()[0])["prompt"] == [
        {"type": "text", "text": "Review this"},
        {
            "type": "resource",
            "resource": {"uri": "stdin:", "text": "+value = 2\n", "mimeType": "text/plain"},
        },
    ]
    where = f"session_id = '{session_of(done)}' and kind = 'user_message'"
    query = f"select payload from events where {where}"
    told = json.loads(stored(punie, query)[0][0])["text"]
    assert told.startswith("Review this")
    assert "+value = 2" in told


def test_an_empty_prompt_is_wrong_usage(punie: Command) -> None:
    assert punie("ask", "  ").returncode == 2
    assert punie("ask", "-", text="").returncode == 2


def test_a_missing_model_is_one_sentence(punie: Command) -> None:
    done = punie("ask", "hello", "--model", "/no/such/model")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "/no/such/model" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_mode_is_wrong_usage(punie: Command) -> None:
    done = punie("ask", "hello", "--mode", "wild")
    assert done.returncode == 2
    assert "wild" in done.stderr


def test_a_project_file_cannot_switch_the_questions_off(punie: Command) -> None:
    (punie.cwd / ".punie").mkdir()
    (punie.cwd / ".punie" / "settings.toml").write_text("mode = 'auto'\n", encoding="utf-8")
    done = punie("ask", "hello")
    assert done.returncode == 2
    assert "ask or plan" in done.stderr


def test_an_answer_that_was_stopped_is_not_complete(shared: Command, script: Script) -> None:
    punie = shared
    look = {"calls": [{"tool": "list_dir", "arguments": {"path": "."}}]}
    done = punie("ask", "go", "--model", script(*[look] * 5, DONE))
    assert done.returncode == 1
    assert "same list_dir call 5 times" in done.stderr


def stored(punie: Command, query: str = "select * from sessions") -> list[tuple[Any, ...]]:
    with sqlite3.connect(punie.state / "sessions.sqlite3") as db:
        return db.execute(query).fetchall()


def test_the_session_is_stored_and_logged(punie: Command, script: Script) -> None:
    punie("ask", "remember me", "--model", script(DONE))
    (row,) = stored(punie)
    assert str(punie.cwd) in row
    assert "Remember me" in row
    logged = punie("logs", "--json").stdout
    assert "turn ended" in logged


def test_a_state_folder_that_cannot_be_used_is_told_once(punie: Command, script: Script) -> None:
    punie.state.write_text("a file is in the way", encoding="utf-8")
    done = punie("ask", "hello", "--model", script(DONE))
    assert done.returncode == 0
    assert done.stdout == "It is done.\n"
    assert done.stderr.count("not being saved") == 1
    assert str(punie.state) in done.stderr


def test_an_interrupt_cancels_the_turn_and_its_command(either: Command, script: Script) -> None:
    punie = either
    mark = f"61.{os.getpid()}"
    sleep = {
        "calls": [{"tool": "run_command", "arguments": {"command": f"echo $$ > pid; sleep {mark}"}}]
    }
    process = punie.start("ask", "wait", "--json", "--mode", "auto", "--model", script(sleep, DONE))
    pid_file = punie.cwd / "pid"
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text().strip()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert json.loads(out.splitlines()[-1]) == {"type": "end", "stopReason": "cancelled"}
    assert processes_of(mark) == []


def test_a_reader_that_leaves_ends_it_quietly(either: Command, script: Script) -> None:
    punie = either
    slow = {"text": numbers(20_000), "chunks": 400, "delay": 0.005}
    process = punie.start("ask", "talk", "--model", script(slow))
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(timeout=30) == 1
    assert "Traceback" not in err
    process.stderr.close()


def test_too_many_model_calls_are_said(either: Command, script: Script) -> None:
    punie = either
    look = {"calls": [{"tool": "list_dir", "arguments": {"path": "."}}]}
    done = punie("ask", "go", "--model", script(look, look, look), PUNIE_MAX_REQUESTS="1")
    assert done.returncode == 1
    assert "max_requests" in done.stderr


def session_of(done: "subprocess.CompletedProcess[str]") -> str:
    return str(json.loads(done.stdout.splitlines()[0])["sessionId"])


def test_a_session_goes_on(either: Command, script: Script) -> None:
    first = session_of(either("ask", "one", "--json", "--model", script(DONE)))
    other = session_of(either("ask", "two", "--json", "--model", script(DONE)))
    assert other != first
    latest = either("ask", "three", "--json", "--continue", "--model", script(DONE))
    assert session_of(latest) == other
    model = script(DONE)
    elsewhere = replace(either, cwd=either.home)
    named = elsewhere("ask", "four", "--json", "--session", first[:13], "--model", model)
    assert session_of(named) == first
    assert json.loads(named.stdout.splitlines()[0])["cwd"] == str(either.cwd)
    query = f"select count(*) from events where session_id = '{first}' and kind = 'user_message'"
    assert stored(either, query) == [(2,)]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--session", "nothing"], 1, "no session begins with 'nothing'"),
        (["--continue"], 1, "no session was opened in"),
        (["--continue", "--session", "a"], 2, "exclude each other"),
        (["--shared", "--in-process"], 2, "exclude each other"),
    ],
)
def test_what_cannot_be_is_said(
    punie: Command, arguments: list[str], code: int, sentence: str
) -> None:
    done = punie("ask", "hello", *arguments)
    assert done.returncode == code
    assert sentence in done.stderr


def test_too_long_an_input_is_wrong_usage(punie: Command) -> None:
    done = punie("ask", "Review this", text="x" * 1_000_001)
    assert done.returncode == 2
    assert "longer than 1000000 bytes" in done.stderr


def test_a_model_of_this_machine_can_be_asked_for(server: Command) -> None:
    done = server("ask", "hello", "--shared", "--model", "no/such")
    assert done.returncode == 1
    assert "no/such is not on this machine" in done.stderr


@pytest.mark.parametrize(("flags", "code"), [((), 1), (("--in-process",), 0)])
def test_the_engine_of_the_settings_is_used_unless_a_flag_says_otherwise(
    punie: Command, script: Script, flags: tuple[str, ...], code: int
) -> None:
    punie.state.write_text("a file is in the way", encoding="utf-8")
    model = script(DONE)
    done = punie("ask", "hello", *flags, "--model", model, PUNIE_ENGINE="shared")
    assert done.returncode == code
    assert ("The server cannot be started" in done.stderr) == bool(code)
    assert "Traceback" not in done.stderr


def test_a_server_that_dies_is_one_sentence(tmp_path: Path, punie: Command, script: Script) -> None:
    slow = {"text": numbers(20_000), "chunks": 400, "delay": 0.05}
    process = punie.start("ask", "talk", "--shared", "--model", script(slow))
    assert process.stdout is not None
    assert process.stdout.read(1)
    end_server(punie.state, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "the server went away in the middle of the turn; `punie ask --session" in err
    assert "Traceback" not in err


def test_the_second_interrupt_ends_it_at_once(punie: Command, script: Script) -> None:
    stubborn = "trap '' TERM INT HUP; echo > began; while :; do sleep 1; done"
    model = script({"calls": [{"tool": "run_command", "arguments": {"command": stubborn}}]}, DONE)
    process = punie.start("ask", "wait", "--mode", "auto", "--model", model)
    deadline = time.monotonic() + 60
    while not (punie.cwd / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_reader_that_leaves_before_the_end_ends_it_quietly(
    shared: Command, script: Script
) -> None:
    go = "while ! test -f gone; do sleep 0.05; done"
    call = {"tool": "run_command", "arguments": {"command": go}}
    model = script({"text": "Hello", "calls": [call]}, {"calls": [call]} | {"finish": "error"})
    process = shared.start("ask", "go", "--mode", "auto", "--model", model)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(5) == "Hello"
    process.stdout.close()
    (shared.cwd / "gone").touch()
    err = process.stderr.read()
    assert process.wait(timeout=30) == 1
    assert "Traceback" not in err
    process.stderr.close()


def test_a_reader_that_leaves_at_a_question_ends_it_quietly(
    shared: Command, script: Script
) -> None:
    (shared.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    process = shared.start("ask", "change it", "--json", "--yes", "--model", script(EDIT, DONE))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=30) == 1
    assert "Traceback" not in err
    process.stderr.close()
