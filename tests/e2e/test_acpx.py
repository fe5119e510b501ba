"""acpx, a client that others wrote, runs prompts with tool calls and permission questions.

`tests/e2e/install_acpx.sh` installs it and prints its path, which PUNIE_ACPX hands on to here.
"""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from punie.models.catalog import ModelUnavailable, resolve_model
from tests.e2e.client import COMMAND
from tests.e2e.conftest import Script

ACPX = os.environ.get("PUNIE_ACPX", "")

pytestmark = pytest.mark.skipif(
    not (ACPX and os.access(ACPX, os.X_OK)),
    reason="PUNIE_ACPX names no acpx; tests/e2e/install_acpx.sh installs it and prints the path",
)

EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}


def acpx(
    environment: dict[str, str], project: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    agent = shlex.join([str(COMMAND), "acp"])
    return subprocess.run(
        [ACPX, "--agent", agent, "--cwd", project, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def wire(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.strip()]


def test_a_tool_call_with_a_permission(
    environment: dict[str, str], project: Path, script: Script
) -> None:
    environment["PUNIE_MODEL"] = script(
        {"text": "I change it. ", "calls": [EDIT]}, {"text": "It says Servus now."}
    )
    done = acpx(
        environment, project, "--format", "json", "--json-strict", "--approve-all", "exec", "Go"
    )
    assert done.returncode == 0, done.stderr
    messages = wire(done.stdout)
    questions = [
        message for message in messages if message.get("method") == "session/request_permission"
    ]
    assert len(questions) == 1
    assert questions[0]["params"]["toolCall"]["kind"] == "edit"
    updates = [
        message["params"]["update"]
        for message in messages
        if message.get("method") == "session/update"
    ]
    statuses = [update.get("status") for update in updates if "toolCallId" in update]
    assert statuses == ["pending", "in_progress", "completed"]
    text = "".join(
        update["content"]["text"]
        for update in updates
        if update["sessionUpdate"] == "agent_message_chunk"
    )
    assert text == "I change it. It says Servus now."
    assert any(
        message.get("result", {}).get("stopReason") == "end_turn"
        for message in messages
        if isinstance(message.get("result"), dict)
    )
    assert "Servus" in (project / "app.py").read_text()
    check_against_schema(messages)


def check_against_schema(messages: list[dict[str, Any]]) -> None:
    """Check all that went over the wire against the newest schema, which acpx brings along."""
    (path,) = Path(ACPX).parent.glob("node_modules/@agentclientprotocol/sdk/schema/schema.json")
    definitions = json.loads(path.read_text())["$defs"]
    names = {
        (definition["x-method"], kind): name
        for name, definition in definitions.items()
        for kind in ("Request", "Response", "Notification")
        if "x-method" in definition and name.endswith(kind)
    }
    # Both sides count their requests from the same numbers, so an id may stand for two of them.
    open_requests: list[tuple[Any, str]] = []
    checked = 0
    for message in messages:
        if "method" in message:
            kind = "Request" if "id" in message else "Notification"
            candidates = [names[message["method"], kind]]
            value = message["params"]
            if "id" in message:
                open_requests.append((message["id"], message["method"]))
        else:
            methods = [method for number, method in open_requests if number == message["id"]]
            candidates = [names[method, "Response"] for method in methods]
            value = message["result"]
        faults = []
        for name in candidates:
            schema = {"$defs": definitions, "$ref": f"#/$defs/{name}"}
            faults.append(next(jsonschema.Draft202012Validator(schema).iter_errors(value), None))
        assert None in faults, (message, faults)
        checked += 1
    assert checked > 10


def test_a_permission_that_is_denied(
    environment: dict[str, str], project: Path, script: Script
) -> None:
    environment["PUNIE_MODEL"] = script({"calls": [EDIT]}, {"text": "Then not."})
    done = acpx(environment, project, "--deny-all", "exec", "Go")
    assert "Then not." in done.stdout
    assert "Hello" in (project / "app.py").read_text()


def test_the_bundled_model(environment: dict[str, str], project: Path) -> None:
    try:
        resolve_model(None)
    except ModelUnavailable as reason:
        pytest.skip(str(reason))
    (project / "settings.py").write_text("TIMEOUT = 30\nRETRIES = 3\n")
    done = acpx(
        environment, project, "--format", "json", "--json-strict", "--approve-all", "exec",
        "replace 30 with 45 in settings.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    messages = wire(done.stdout)
    methods = {message.get("method") for message in messages}
    assert "session/request_permission" in methods
    assert (project / "settings.py").read_text() == "TIMEOUT = 45\nRETRIES = 3\n"
