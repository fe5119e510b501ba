"""Files and commands as they should not be: each is told in a sentence, and the turn goes on."""

import os
import sys
from pathlib import Path

import pytest

from punie.workspace.sandbox.bubblewrap import Bubblewrap
from punie.workspace.sandbox.detect import find_sandbox
from tests.e2e.client import COMMAND, eventually
from tests.e2e.conftest import Script, Start
from tests.e2e.test_coding_tools import PATCH, call, results
from tests.e2e.test_commands import opened
from tests.processes import SLEEP, sleeping

pytestmark = pytest.mark.shared_agent

AUTO = {"PUNIE_MODE": "auto"}


def spoil(project: Path) -> dict[str, bytes]:
    """Put files there that are hard to work with; return their bytes."""
    files = {
        "marked.txt": b"\xef\xbb\xbfone\r\ntwo\r\n",
        "latin.txt": "Gr\u00fc\u00dfe\n".encode("latin-1"),
        "empty.txt": b"",
        "huge.txt": b"".join(b"%d some text on a line\n" % n for n in range(500_000)),
        "one_line.txt": b"x" * 3_000_000,
        "gone.txt": b"here\n",
    }
    for name, data in files.items():
        (project / name).write_bytes(data)
    os.mkfifo(project / "pipe")
    (project / "loop").symlink_to("loop")
    (project / "folder").mkdir()
    (project / "odd\n.txt").touch()
    if sys.platform == "linux":  # Elsewhere names are text.
        os.close(os.open(os.fsencode(project) + b"/odd\xff.txt", os.O_CREAT | os.O_WRONLY))
    return files


def test_files_that_are_hard_to_work_with(start: Start, script: Script, project: Path) -> None:
    files = spoil(project)
    calls = {
        "marked": call(
            "edit_file", path="marked.txt", edits=[{"old_text": "one\ntwo", "new_text": "1\n2"}]
        ),
        "latin": call("read_file", path="latin.txt"),
        "latin edit": call(
            "edit_file", path="latin.txt", edits=[{"old_text": "Gr", "new_text": "gr"}]
        ),
        "latin write": call("write_file", path="latin.txt", content="Hello\n"),
        "empty": call("read_file", path="empty.txt"),
        "huge": call("read_file", path="huge.txt"),
        "huge part": call("read_file", path="huge.txt", start_line=400_000, end_line=400_001),
        "huge search": call("search", pattern="499999 some"),
        "one line": call("read_file", path="one_line.txt"),
        "seen": call("read_file", path="gone.txt"),
        "vanishes": call("run_command", command="rm gone.txt"),
        "gone": call("edit_file", path="gone.txt", edits=[{"old_text": "here", "new_text": "x"}]),
        "pipe": call("read_file", path="pipe"),
        "loop": call("read_file", path="loop"),
        "folder": call("read_file", path="folder"),
        "below a file": call("write_file", path="app.py/new.txt", content="x"),
        "long name": call("write_file", path="n" * 300, content="x"),
        "nul": call("read_file", path="a\0b"),
        "odd name": call("list_dir"),
    }
    client = start(script({"calls": [*calls.values()]}, {"text": "Done."}), environment=AUTO)
    session = opened(client, project)
    assert client.prompt(session) == "end_turn"
    said = dict(zip(calls, results(client, session), strict=True))
    for name, expected in {
        "latin": "latin.txt is not UTF-8 text (byte 0xfc at offset 2)",
        "latin edit": "latin.txt is not UTF-8 text",
        "latin write": "latin.txt is not UTF-8 text",
        "huge": "read a part of it with start_line and end_line",
        "huge part": "399999 some text on a line\n400000 some text on a line\n",
        "huge search": "huge.txt:500000:499999 some text on a line",
        "gone": "there is no file gone.txt",
        "pipe": "pipe is not a regular file",
        "loop": "loop could not be read: too many levels of symbolic links",
        "folder": "folder is a folder, not a file; use list_dir",
        "below a file": "app.py is a file, not a folder",
        "long name": "could not be read: file name too long",
        "nul": "cannot be the path of a file",
        "odd name": "odd\\n.txt\n",
    }.items():
        assert expected in said[name], name
    assert sys.platform != "linux" or "odd\\udcff.txt\n" in said["odd name"]
    assert said["empty"] == "```txt\n\n```"
    assert len(said["one line"]) < 17_000
    assert "here" in said["seen"]
    # All that could not be changed is as it was, and what was changed keeps its form.
    files["marked.txt"] = b"\xef\xbb\xbf1\r\n2\r\n"
    del files["gone.txt"]
    assert {name: (project / name).read_bytes() for name in files} == files
    assert not (project / "gone.txt").exists()


def test_commands_that_behave_badly(start: Start, script: Script, project: Path) -> None:
    calls = {
        "terminal": call("run_command", command="echo 'the input device is not a TTY' >&2; exit 1"),
        "asks": call("run_command", command="read answer && echo got $answer"),
        "flood": call("run_command", command="yes 'a line of a flood' | head -c 30000000"),
        "hangs": call("run_command", command=SLEEP, timeout=0.5),
        "deaf": call("run_command", command=f"trap '' TERM INT; {SLEEP}; true", timeout=0.5),
        "leaves": call("run_command", command=f"{SLEEP} & echo started"),
        "bytes": call("run_command", command=r"printf '\377\376\000\033[31mred'"),
        "killed": call("run_command", command="kill -9 $$"),
        "unknown": call("run_command", command="no-such-program --help"),
        "empty": call("run_command", command="  "),
        "nul": call("run_command", command="echo a\0b"),
        "unbalanced": call("run_command", command="echo 'never closed"),
        "long": call("run_command", command="echo " + "x" * 200_000 + " | wc -c"),
    }
    client = start(script({"calls": [*calls.values()]}, {"text": "Done."}), environment=AUTO)
    session = opened(client, project)
    assert client.prompt(session) == "end_turn"
    said = dict(zip(calls, results(client, session), strict=True))
    for name, expected in {
        "terminal": "commands have no terminal and nothing to read",
        "asks": "exit code 1",
        "flood": "a line of a flood\n",
        "hangs": "timed out after 0.5 s\n(what runs on",
        "deaf": "timed out after 0.5 s",
        "leaves": "exit code 0\nstarted",
        "bytes": "exit code 0\n\ufffd\ufffdred",
        "killed": "exit code 137",
        "unknown": "exit code 127\n",
        "empty": "the command is empty",
        "nul": "the command holds a NUL character, which no command can hold",
        "unbalanced": "unexpected EOF",
        "long": "the command could not be started: argument list too long",
    }.items():
        assert expected in said[name], name
    assert len(said["flood"]) < 17_000
    client.request("session/close", {"sessionId": session})
    assert eventually(lambda: not sleeping())


def test_a_tree_that_cannot_be_written(start: Start, script: Script, project: Path) -> None:
    sandbox = find_sandbox()
    if not isinstance(sandbox, Bubblewrap):
        pytest.skip("needs bubblewrap to make the tree read-only for root too")
    before = (project / "app.py").read_text()
    calls = {
        "edit": call("edit_file", path="app.py", edits=[{"old_text": "Hello", "new_text": "Hi"}]),
        "patch": call("apply_patch", patch=PATCH),
        "write": call("write_file", path="new/file.txt", content="x"),
        "move": call("move", path="app.py", to="main.py"),
        "delete": call("delete", path="app.py"),
        "command": call("run_command", command="touch here"),
        "read": call("read_file", path="app.py"),
    }
    bound = ["--dev-bind", "/", "/", "--ro-bind", str(project), str(project)]
    client = start(
        script({"calls": [*calls.values()]}, {"text": "Done."}),
        environment=AUTO,
        command=[sandbox.program, *bound, str(COMMAND)],
    )
    session = opened(client, project)
    assert client.prompt(session) == "end_turn"
    said = dict(zip(calls, results(client, session), strict=True))
    for name in ("edit", "patch", "write", "move", "delete"):
        assert "read-only" in said[name].casefold(), (name, said[name])
    assert "Hello" in said["read"]
    assert "exit code 1" in said["command"]
    assert [path.name for path in project.iterdir()] == ["app.py"]
    assert (project / "app.py").read_text() == before
