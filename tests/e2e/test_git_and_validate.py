"""The model reads the repository and the validators' findings without anybody being asked."""

import subprocess
from pathlib import Path

from tests.e2e.client import Json, merged_calls
from tests.e2e.conftest import Script, Start
from tests.e2e.test_commands import opened


def call(tool: str, **arguments: str) -> Json:
    return {"tool": tool, "arguments": arguments}


def test_git_and_validate(start: Start, script: Script, project: Path) -> None:
    for arguments in (
        ["init", "-q", "-b", "main"],
        ["add", "--all"],
        ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "Begin"],
    ):
        subprocess.run(["git", *arguments], cwd=project, check=True)
    (project / "app.py").write_text("async def greet(): ...\n\n\ngreet()\n")
    calls = [
        call("git", command="status"),
        call("git", command="diff", path="app.py"),
        call("git", command="log", ref="nowhere"),
        call("validate", path="app.py"),
    ]
    client = start(script({"calls": calls}, {"text": "Done."}))
    session = opened(client, project)
    client.prompt(session, "What changed?")
    status, diff, log, found = merged_calls(client.updates(session)).values()
    assert [one["status"] for one in (status, diff, log, found)] == [
        "completed",
        "completed",
        "failed",
        "completed",
    ]
    assert status["title"] == "git status: 1 change"
    assert diff["title"] == "git diff app.py: 1 file, +4 -2"
    assert diff["kind"] == "read"
    assert diff["content"][0]["content"]["text"].startswith("```diff\n1 file, +4 -2\ndiff --git")
    assert found["title"] == "Validate app.py: 1 issue"
    assert found["locations"] == [{"path": str(project / "app.py"), "line": 4}]
    assert "async-not-awaited" in found["content"][0]["content"]["text"]
    assert not [m for m in client.messages if m.get("method") == "session/request_permission"]
