"""A command is kept inside its sandbox, the model is told, and a person lets it out."""

from pathlib import Path

import pytest

from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from tests.e2e.client import Json
from tests.e2e.conftest import Script, Start
from tests.e2e.ide import TERMINAL, Ide

pytestmark = pytest.mark.skipif(
    isinstance(find_sandbox(), NoSandbox), reason="no sandbox works here"
)


def run(command: str, **arguments: object) -> Json:
    return {"calls": [{"tool": "run_command", "arguments": {"command": command, **arguments}}]}


def texts(calls: dict[str, Json]) -> list[str]:
    return [call["content"][0]["content"]["text"] for call in calls.values()]


def test_blocked_told_asked_and_allowed(
    start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    made = Path(environment["HOME"]) / "made"
    write = f"echo x > {made}"
    lookup = "python3 -c 'import socket; socket.getaddrinfo(\"example.org\", 80)'"
    model = script(run(write), run(lookup), run(write, unsandboxed=True), {"text": "Done."})
    client = start(model)
    client.initialize()
    session = client.new_session(project)
    assert client.prompt(session) == "end_turn"
    written, looked_up, outside = texts(client.calls(session))
    way_out = "; if that is needed, call again with unsandboxed=true)"
    assert f"(the sandbox blocks writing to {made}{way_out}" in written
    assert f"(the sandbox blocks network{way_out}" in looked_up
    assert "exit code 0" in outside
    assert made.read_text() == "x\n"
    titles = [question["toolCall"]["title"] for question in client.questions(session)]
    assert titles == [f"`{write}`", f"`{lookup}`", f"`{write}` outside the sandbox"]
    # Nothing that stood in for something is left in the project.
    assert not {".idea", ".vscode", ".punie"} & {path.name for path in project.iterdir()}


def test_a_terminal_of_the_client_is_confined_too(
    start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    made = Path(environment["HOME"]) / "made"
    client = start(script(run(f"echo x > {made}"), {"text": "Done."}))
    client.initialize(clientCapabilities=TERMINAL)
    with_terminal = Ide(client)
    try:
        session = client.new_session(project)
        client.request("session/set_mode", {"sessionId": session, "modeId": "auto"})
        assert client.prompt(session) == "end_turn"
        assert "terminal/create" in with_terminal.asked
        assert not made.exists()
    finally:
        with_terminal.close()
