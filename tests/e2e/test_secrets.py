"""Secrets where a user meets them: a file that is asked about, a value that nobody is told."""

import json
import subprocess
from pathlib import Path

from tests.e2e.client import COMMAND, deny, merged_calls
from tests.e2e.conftest import Script, Start
from tests.e2e.test_commands import opened, said

VALUE = "Tr0ub4dor&3-of-the-environment"


def test_secrets_stay_where_they_are(
    start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    (project / ".env").write_text("COLOUR=mauve-and-more\n")
    halves = 'printf "${DEPLOY_PASSWORD%-of*}"; sleep 0.3; echo "${DEPLOY_PASSWORD#*3}"'
    calls = [
        {"tool": "read_file", "arguments": {"path": "src/../.env"}},
        {"tool": "run_command", "arguments": {"command": "cat .e''nv"}},
        {"tool": "run_command", "arguments": {"command": f"printenv DEPLOY_PASSWORD; {halves}"}},
        {"tool": "run_command", "arguments": {"command": "printenv DEPLOY_PASSWORD > copy.txt"}},
        {"tool": "read_file", "arguments": {"path": "copy.txt"}},
    ]
    model = script(*({"calls": [call]} for call in calls), {"text": "Done."})
    variables = {"DEPLOY_PASSWORD": VALUE, "PUNIE_LOG_LEVEL": "DEBUG"}
    client = start(model, answer=deny, environment=variables)
    session = opened(client, project)
    client.request("session/set_mode", {"sessionId": session, "modeId": "auto"})
    assert client.prompt(session) == "end_turn"

    # Both ways to the file were asked about in the mode that asks about nothing else.
    assert len(client.questions(session)) == 2
    shown = [json.dumps(call) for call in merged_calls(client.updates(session)).values()]
    assert "did not allow" in shown[0]
    assert "***" in shown[2]
    assert "***" in shown[4]
    assert (project / "copy.txt").read_text() == f"{VALUE}\n"

    assert "talk.md" in said(client, session, "/export talk.md")
    exported = (project / "talk.md").read_text()
    assert "***" in exported
    assert "Tr0ub4dor" not in exported

    client.close_stdin()
    client.wait_exit()
    told = json.dumps(client.messages)
    assert "Tr0ub4dor" not in told
    assert "mauve" not in told
    kept = [path for path in Path(environment["PUNIE_STATE_DIR"]).rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in kept)
    for path in kept:
        content = path.read_bytes()
        assert b"Tr0ub4dor" not in content, path
        assert b"mauve" not in content, path
    logs = subprocess.run(
        [str(COMMAND), "logs"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert logs.returncode == 0
    assert "Tr0ub4dor" not in logs.stdout
