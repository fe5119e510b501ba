import json
import os
import pty
import select
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

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
        os.execve(PUNIE, [str(PUNIE), *arguments], punie.environment)
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


def test_the_answer_alone_goes_to_stdout(punie: Command, script: Script) -> None:
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    read = {"calls": [{"tool": "read_file", "arguments": {"path": "a.py"}}]}
    done = punie("ask", "what is it?", "--model", script(read, {"text": "It is 1."}))
    assert done.returncode == 0
    assert done.stdout == "It is 1.\n"
    assert "a.py" in done.stderr
    assert "1:value = 1" in done.stderr


def test_without_a_terminal_edits_are_denied(punie: Command, script: Script) -> None:
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    done = punie("ask", "change it", "--model", script(EDIT, {"text": "Not allowed."}))
    assert done.returncode == 0
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 1\n"
    assert "--yes" in done.stderr
    assert "-value = 1" in done.stderr
    assert "+value = 2" in done.stderr


def test_yes_allows(punie: Command, script: Script) -> None:
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    done = punie("ask", "change it", "--yes", "--model", script(EDIT, DONE))
    assert done.returncode == 0
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 2\n"


def test_mode_accept_edits_asks_nothing(punie: Command, script: Script) -> None:
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    done = punie("ask", "change it", "--mode", "accept_edits", "--model", script(EDIT, DONE))
    assert done.returncode == 0
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 2\n"
    assert "+value = 2" in done.stderr


def test_yes_does_not_reach_into_plan_mode(punie: Command, script: Script) -> None:
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    punie("ask", "change it", "--yes", "--mode", "plan", "--model", script(EDIT, DONE))
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 1\n"


def test_a_person_allows_on_the_terminal(punie: Command, script: Script) -> None:
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    code, seen = run_on_terminal(
        punie, "ask", "change it", "--model", script(EDIT, DONE), answer="y\n"
    )
    assert code == 0
    assert "+value = 2" in seen
    assert "It is done." in seen
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 2\n"


def test_anything_but_yes_denies_on_the_terminal(punie: Command, script: Script) -> None:
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
        ("2\n", "the user answered: Postgres"),
        ("DuckDB\n", "the user answered: DuckDB"),
        ("7\n", "the user answered: 7"),
        ("\n", "error: the user did not answer"),
    ],
)
def test_the_model_asks_on_the_terminal(
    punie: Command, script: Script, answer: str, result: str
) -> None:
    code, seen = run_on_terminal(
        punie, "ask", "go", "--model", script(ASK, DONE), answer=answer, question="or its number:"
    )
    assert code == 0
    assert "Which database?" in seen
    assert "1. SQLite" in seen
    assert result in seen
    assert "It is done." in seen


def test_without_a_terminal_the_model_cannot_ask(punie: Command, script: Script) -> None:
    done = punie("ask", "go", "--json", "--model", script(ASK, DONE))
    assert done.returncode == 0
    assert "there is no tool 'ask_user'" in done.stdout
    assert "update_plan" in done.stdout


def test_an_answer_for_good_on_the_terminal(punie: Command, script: Script) -> None:
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


def test_an_interrupt_at_the_question_cancels(punie: Command, script: Script) -> None:
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    code, _ = run_on_terminal(
        punie, "ask", "change it", "--model", script(EDIT, DONE), answer="\x03"
    )
    assert code == 130
    assert (punie.cwd / "a.py").read_text(encoding="utf-8") == "value = 1\n"


def test_the_model_cannot_steer_the_terminal(punie: Command, script: Script) -> None:
    code, seen = run_on_terminal(
        punie, "ask", "hello", "--model", script({"text": "a\x1b]0;title\x07b"}), answer=""
    )
    assert code == 0
    assert "\x1b]0;" not in seen


def test_json_prints_the_events(punie: Command, script: Script) -> None:
    (punie.cwd / "a.py").write_text("value = 1\n", encoding="utf-8")
    done = punie("ask", "change it", "--json", "--yes", "--model", script(EDIT, DONE))
    assert done.returncode == 0
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds[0] == "user_message"
    assert kinds[-1] == "turn_ended"
    for kind in ("tool_started", "permission_asked", "permission_answered", "tool_finished"):
        assert kind in kinds


def test_the_prompt_comes_from_stdin(punie: Command, script: Script) -> None:
    done = punie("ask", "-", "--json", "--model", script(DONE), text="from a pipe\n")
    assert json.loads(done.stdout.splitlines()[0])["text"] == "from a pipe\n"


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


def test_an_answer_that_was_stopped_is_not_complete(punie: Command, script: Script) -> None:
    look = {"calls": [{"tool": "list_dir", "arguments": {"path": "."}}]}
    done = punie("ask", "go", "--model", script(*[look] * 5, DONE))
    assert done.returncode == 1
    assert "same list_dir call 5 times" in done.stderr


def stored(punie: Command) -> list[tuple[Any, ...]]:
    with sqlite3.connect(punie.state / "sessions.sqlite3") as db:
        return db.execute("select * from sessions").fetchall()


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
    assert f"the state folder {punie.state} cannot be used (file exists); choose" in done.stderr


def test_an_interrupt_cancels_the_turn_and_its_command(punie: Command, script: Script) -> None:
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
    last = json.loads(out.splitlines()[-1])
    assert (last["kind"], last["stop_reason"]) == ("turn_ended", "cancelled")
    assert processes_of(mark) == []


def test_a_reader_that_leaves_ends_it_quietly(punie: Command, script: Script) -> None:
    slow = {"text": numbers(20_000), "chunks": 400, "delay": 0.005}
    process = punie.start("ask", "talk", "--model", script(slow))
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(timeout=30) == 1
    assert "Traceback" not in err
    process.stderr.close()


def test_too_many_model_calls_are_said(punie: Command, script: Script) -> None:
    look = {"calls": [{"tool": "list_dir", "arguments": {"path": "."}}]}
    done = punie("ask", "go", "--model", script(look, look, look), PUNIE_MAX_REQUESTS="1")
    assert done.returncode == 1
    assert "max_requests" in done.stderr
