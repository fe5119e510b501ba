"""`punie undo` and `punie redo` take a session's file changes back and bring them back."""

import re
import time
from collections.abc import Callable

from tests.cli.conftest import Command

Script = Callable[..., str]

TURN = (
    {
        "calls": [
            {"tool": "write_file", "arguments": {"path": "a.txt", "content": "new\n"}},
            {"tool": "run_command", "arguments": {"command": "mkdir sub; mv b.bin sub/c.bin"}},
        ]
    },
    {"text": "Done."},
)


def test_a_prompts_changes_are_taken_back_and_brought_back(punie: Command, script: Script) -> None:
    (punie.cwd / "a.txt").write_text("old\n")
    (punie.cwd / "b.bin").write_bytes(b"\0\xff")
    punie("ask", "--yes", "Change it", PUNIE_MODEL=script(*TURN))
    # A later session without changes is not the one that is meant.
    punie("ask", "Hi", PUNIE_MODEL=script({"text": "Hi."}))
    listed = punie("undo", "--list").stdout.splitlines()
    assert listed[0].endswith(f"in {punie.cwd}, Change it")
    assert listed[1].endswith("  Change it: 4 paths")
    done = punie("undo")
    assert (done.returncode, done.stdout) == (
        0,
        "The file changes of the turn “Change it” are taken back:\n\n"
        "- `sub/c.bin` is removed\n- `b.bin` is as it was before\n"
        "- `a.txt` is as it was before\n",
    )
    assert (punie.cwd / "a.txt").read_text() == "old\n"
    assert (punie.cwd / "b.bin").read_bytes() == b"\0\xff"
    assert not (punie.cwd / "sub").exists()
    session = listed[0].split()[1]
    done = punie("redo", "2", "--session", session[:8])
    assert done.returncode == 0
    assert "are brought back" in done.stdout
    assert (punie.cwd / "a.txt").read_text() == "new\n"
    assert (punie.cwd / "sub/c.bin").read_bytes() == b"\0\xff"
    kept = [path for path in (punie.state / "checkpoints").rglob("*") if path.is_file()]
    assert kept
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept if path.name != "lock")


def test_what_is_wrong_is_said(punie: Command) -> None:
    done = punie("undo")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no session was opened in" in done.stderr
    assert punie("undo", "0").returncode == 2


def test_a_killed_undo_leaves_either_state_and_goes_on(punie: Command, script: Script) -> None:
    files = [punie.cwd / f"{number:03}" for number in range(250)]
    for file in files:
        file.write_bytes(b"old")
    line = "for each in *; do printf new > $each; done"
    turn = {"calls": [{"tool": "run_command", "arguments": {"command": line}}]}
    punie("ask", "--yes", "Change it", PUNIE_MODEL=script(turn, {"text": "Done."}))
    assert {file.read_bytes() for file in files} == {b"new"}
    running = punie.start("undo")
    while running.poll() is None and files[60].read_bytes() == b"new":
        time.sleep(0.001)
    running.kill()
    running.communicate()
    assert {file.read_bytes() for file in files} <= {b"old", b"new"}
    assert b"new" in {file.read_bytes() for file in files}
    left = {file.name for file in punie.cwd.iterdir()} - {file.name for file in files}
    # The one that was just being written; its name says whose it is.
    assert len(left) <= 1
    assert all(re.fullmatch(r"\.punie-[0-9a-f]{16}\.tmp", name) for name in left)
    assert punie("undo").returncode == 0
    assert {file.read_bytes() for file in files} == {b"old"}
    assert punie("redo").returncode == 0
    assert {file.read_bytes() for file in files} == {b"new"}
