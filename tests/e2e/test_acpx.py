"""acpx, a client that others wrote: single prompts, and whole sessions up to a kill -9."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from punie.models.catalog import ModelUnavailable, resolve_model
from punie.server.record import read_record
from tests.e2e import acpx as driver
from tests.e2e import schema
from tests.e2e.acpx import Acpx
from tests.e2e.client import eventually, kill_server
from tests.e2e.conftest import Script
from tests.tools.mcp.conftest import SERVER

pytestmark = pytest.mark.skipif(not driver.AVAILABLE, reason=driver.MISSING)

EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}
RUN = {"tool": "run_command", "arguments": {"command": "printf %s%s sword fish"}}
SLOW = {"text": "slow " * 100, "delay": 0.1, "chunks": 100}


@pytest.fixture
def acpx(environment: dict[str, str], project: Path, tmp_path: Path) -> Iterator[Acpx]:
    acpx = Acpx(environment, project, tmp_path / "records")
    yield acpx
    faults = acpx.end()
    assert not schema.AVAILABLE or not faults, "\n".join(faults[:5])


@pytest.fixture
def bundled(acpx: Acpx) -> Acpx:
    try:
        resolve_model(None)
    except ModelUnavailable as reason:
        pytest.skip(str(reason))
    (acpx.project / "settings.py").write_text("TIMEOUT = 30\nRETRIES = 3\n")
    return acpx


def test_exec_with_a_permission(acpx: Acpx, script: Script) -> None:
    acpx.environment["PUNIE_MODEL"] = script(
        {"text": "I change it. ", "calls": [EDIT]}, {"text": "It says Servus now."}
    )
    printed = acpx.say("--format", "json", "--json-strict", "--approve-all", "exec", "Go")
    messages = [json.loads(line) for line in printed.splitlines() if line.strip()]
    questions = [m for m in messages if m.get("method") == "session/request_permission"]
    assert [question["params"]["toolCall"]["kind"] for question in questions] == ["edit"]
    updates = [m["params"]["update"] for m in messages if m.get("method") == "session/update"]
    statuses = [update.get("status") for update in updates if "toolCallId" in update]
    assert statuses == ["pending", "in_progress", "completed"]
    text = "".join(
        update["content"]["text"]
        for update in updates
        if update["sessionUpdate"] == "agent_message_chunk"
    )
    assert text == "I change it. It says Servus now."
    results = [m["result"] for m in messages if isinstance(m.get("result"), dict)]
    assert "end_turn" in [result.get("stopReason") for result in results]
    assert "Servus" in (acpx.project / "app.py").read_text()


def test_deny_all(acpx: Acpx, script: Script) -> None:
    acpx.environment["PUNIE_MODEL"] = script({"calls": [EDIT, RUN]}, {"text": "Then not."})
    done = acpx.run("--deny-all", "exec", "Go")
    assert "Then not." in done.stdout
    assert "Hello" in (acpx.project / "app.py").read_text()
    assert "swordfish" not in str(acpx.updates("tool_call_update"))


@pytest.mark.parametrize("offered", [True, False])
def test_files_of_the_client_or_of_the_disk(acpx: Acpx, script: Script, offered: bool) -> None:
    acpx.environment["PUNIE_MODEL"] = script({"calls": [EDIT]}, {"text": "Done."})
    acpx.say(*([] if offered else ["--no-fs"]), "--approve-all", "exec", "Go")
    assert ("fs/write_text_file" in acpx.methods()) == offered
    assert "Servus" in (acpx.project / "app.py").read_text()


@pytest.mark.parametrize("offered", [True, False])
def test_terminals_of_the_client_or_our_own(acpx: Acpx, script: Script, offered: bool) -> None:
    acpx.environment["PUNIE_MODEL"] = script({"calls": [RUN]}, {"text": "Done."})
    acpx.say(*([] if offered else ["--no-terminal"]), "--approve-all", "exec", "Go")
    assert ("terminal/create" in acpx.methods()) == offered
    assert ("terminal/release" in acpx.methods()) == offered
    (end,) = [u for u in acpx.updates("tool_call_update") if u.get("status") == "completed"]
    if offered:
        assert [block["type"] for block in end["content"]] == ["terminal"]
    else:
        assert "swordfish" in str(end["content"])


def test_a_session_with_cancel_mode_and_model(acpx: Acpx, script: Script) -> None:
    acpx.environment["PUNIE_MODEL"] = script(
        {"text": "One."}, SLOW, {"calls": [EDIT]}, {"text": "Four."}
    )
    acpx.say("sessions", "new")
    assert "One." in acpx.say("prompt", "first")

    running = acpx.begin("prompt", "second")
    assert acpx.saw("slow")
    acpx.say("cancel")
    printed, _ = running.communicate(timeout=30)
    assert "[done] cancelled" in printed
    assert running.returncode == 0

    acpx.say("set-mode", "plan")
    assert "Four." in acpx.say("--approve-all", "prompt", "third")
    # In plan mode nothing was changed, and nothing asked.
    assert "session/request_permission" not in acpx.methods()
    assert "Hello" in (acpx.project / "app.py").read_text()

    acpx.say("set", "model", "punie-tiny")
    assert "punie-tiny" in acpx.say("status")
    acpx.say("sessions", "close")
    assert {"session/set_mode", "session/set_config_option", "session/close"} <= acpx.methods()
    # Whoever waited for more prompts goes too.
    assert eventually(lambda: not acpx.agents(), 15)


def test_the_model_of_a_single_prompt(acpx: Acpx, script: Script) -> None:
    script({"text": "From the other."}, name="other.json")
    acpx.environment["PUNIE_MODEL"] = model = script({"text": "From the script."})
    printed = acpx.say("exec", "--config-option", f"model={model}", "Go")
    assert "From the script." in printed
    done = acpx.run("exec", "--config-option", "model=no/such-model", "Go")
    assert done.returncode != 0


def test_sessions_are_listed(acpx: Acpx, script: Script) -> None:
    acpx.environment["PUNIE_MODEL"] = script({"text": "Fine."})
    acpx.say("sessions", "new")
    acpx.say("prompt", "Rename the function greet")
    printed = acpx.say("sessions")
    assert str(acpx.project) in printed
    assert "greet" in printed


def test_an_mcp_server_that_is_passed_in(acpx: Acpx, script: Script, tmp_path: Path) -> None:
    entry = {
        "name": "demo", "command": sys.executable, "args": [str(SERVER), "stdio"], "env": [],
    }  # fmt: skip
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": [entry]}))
    say = {"tool": "mcp__demo__echo", "arguments": {"text": "sword", "times": 2}}
    acpx.environment["PUNIE_MODEL"] = script({"calls": [say]}, {"text": "Heard."})
    flags = ("--mcp-config", str(config), "--approve-all")
    acpx.say(*flags, "sessions", "new")
    # It is connected in the background; a prompt does not wait for it for long.
    assert eventually(lambda: "connected" in acpx.say(*flags, "prompt", "/mcp"), 60)
    assert "Heard." in acpx.say(*flags, "prompt", "Go")
    assert "session/request_permission" in acpx.methods()
    (end,) = [u for u in acpx.updates("tool_call_update") if u.get("status") == "completed"]
    assert "swordsword" in str(end["content"])


@pytest.mark.parametrize("only_load", [False, True], ids=["resume", "load"])
def test_kill_9_and_the_memory_is_intact(acpx: Acpx, script: Script, only_load: bool) -> None:
    acpx.only_load = only_load
    # Which response comes is the number of responses that the model sees in its history.
    acpx.environment["PUNIE_MODEL"] = script(
        {"text": "First."}, {"text": "Second.", "calls": [EDIT]}, {"text": "Third."}, SLOW,
        {"text": "Fifth."}, {"text": "Sixth."},
    )  # fmt: skip
    acpx.say("sessions", "new")
    assert "First." in acpx.say("--approve-all", "prompt", "one")
    assert "Third." in acpx.say("--approve-all", "prompt", "two")
    kill(acpx)
    running = acpx.begin("prompt", "three")
    assert acpx.saw("slow")
    # This time in the middle of a turn.
    kill(acpx)
    running.communicate(timeout=60)
    assert "Fifth." in acpx.say("prompt", "four")
    kill(acpx)
    assert "Sixth." in acpx.say("prompt", "five")
    assert "Servus" in (acpx.project / "app.py").read_text()
    if only_load:
        assert "session/load" in acpx.methods()
        assert "session/resume" not in acpx.methods()
        shown = str(acpx.updates("user_message_chunk"))
        assert all(word in shown for word in ("one", "two", "three", "four"))
    else:
        assert "session/resume" in acpx.methods()
        assert acpx.updates("user_message_chunk") == []


def kill(acpx: Acpx) -> None:
    agents = acpx.agents()
    assert agents
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not acpx.agents())


def test_the_bundled_model(bundled: Acpx) -> None:
    bundled.say("--approve-all", "exec", "replace 30 with 45 in settings.py")
    assert "session/request_permission" in bundled.methods()
    assert (bundled.project / "settings.py").read_text() == "TIMEOUT = 45\nRETRIES = 3\n"


def test_the_bundled_model_goes_on_after_kill_9(bundled: Acpx) -> None:
    bundled.say("sessions", "new")
    bundled.say("--approve-all", "prompt", "replace 30 with 45 in settings.py")
    first = max(update["used"] for update in bundled.updates("usage_update"))
    kill(bundled)
    bundled.say("--approve-all", "prompt", "replace 45 with 50 in settings.py")
    assert (bundled.project / "settings.py").read_text() == "TIMEOUT = 50\nRETRIES = 3\n"
    # Its context holds what came before the kill: it begins where the other one ended.
    second = [update["used"] for update in bundled.updates("usage_update")]
    assert all(used > first for used in second[second.index(first) + 1 :])


def test_two_in_different_projects_work_through_one_server_at_the_same_time(
    environment: dict[str, str], script: Script, project: Path, tmp_path: Path
) -> None:
    state = Path(environment["PUNIE_STATE_DIR"])
    environment |= {"PUNIE_ENGINE": "shared", "PUNIE_SERVER_IDLE_MINUTES": "0.1"}
    clients = []
    for name in ("one", "two"):
        folder = tmp_path / name
        shutil.copytree(project, folder)
        model = script(
            {"text": f"Now {name}. ", "chunks": 10, "delay": 0.2, "calls": [EDIT]},
            {"text": "It says Servus now."},
            name=f"{name}.json",
        )
        clients.append(
            Acpx({**environment, "PUNIE_MODEL": model}, folder, tmp_path / f"records-{name}")
        )
    try:
        running = [each.begin("--approve-all", "exec", "Go") for each in clients]
        assert eventually(lambda: read_record(state) is not None, 30)
        # Both turns run in the one server: it alone holds the lock, and neither agent has a model.
        outputs = [each.communicate(timeout=120)[0] for each in running]
        for each, name, output in zip(clients, ("one", "two"), outputs, strict=True):
            assert f"Now {name}." in output
            assert "It says Servus now." in output
            assert "Servus" in (each.project / "app.py").read_text()
        said = (state / "server" / "output").read_text()
        assert said.count("serving at") == 1
    finally:
        faults = [fault for each in clients for fault in each.end()]
        while kill_server(state) is not None:
            pass
    assert not schema.AVAILABLE or not faults, "\n".join(faults[:5])
