"""The coding tools where a user meets them: through the installed `punie acp`."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Client, Json, allow, deny, eventually, merged_calls
from tests.e2e.conftest import Script, Start
from tests.e2e.test_commands import opened, said
from tests.processes import SLEEP, sleeping

pytestmark = pytest.mark.shared_agent

PATCH = """*** Begin Patch
*** Update File: app.py
@@ def greet(name):
-    return 'Hello ' + name
+    return 'Servus ' + name
*** Add File: docs/note.md
+A note.
*** End Patch"""


def call(tool: str, **arguments: object) -> Json:
    return {"tool": tool, "arguments": arguments}


def results(client: Client, session: str) -> list[str]:
    """Return what the calls of a session came to, as the IDE shows it."""
    calls = merged_calls(client.updates(session)).values()
    return [
        "\n".join(
            block["content"]["text"] if block["type"] == "content" else f"diff {block['path']}"
            for block in shown.get("content") or ()
        )
        for shown in calls
    ]


@pytest.fixture
def auto() -> dict[str, str]:
    return {"PUNIE_MODE": "auto"}


def test_finding_and_reading(start: Start, script: Script, project: Path) -> None:
    (project / ".gitignore").write_text("build/\n")
    (project / "build").mkdir()
    (project / "build/app.py").write_text("greet\n")
    (project / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    client = start(
        script(
            {
                "calls": [
                    call("find_files", pattern="app"),
                    call("list_dir"),
                    call("search", pattern="greet", counts=True),
                    call("search", pattern="return", context=1),
                    call("search", pattern="Greet"),
                    call("read_file", path="logo.png"),
                    call("read_file", file_path="app.py"),
                    call("grep", query="greet"),
                ]
            },
            {"text": "Done."},
        )
    )
    session = opened(client, project)
    client.prompt(session)
    found, listed, counted, around, hint, image, wrong, unknown = results(client, session)
    assert found == "```\napp.py\n```"
    assert "(ignored: build/)" in listed
    assert counted == "```\napp.py:1\n```"
    assert around == "```\napp.py-1-def greet(name):\napp.py:2:    return 'Hello ' + name\n```"
    assert "upper and lower case differ" in hint
    assert "logo.png is a PNG image, not text" in image
    assert 'the nearest valid call is read_file {"path": "app.py"}' in wrong
    assert 'use search: the nearest valid call is search {"pattern": "greet"}' in unknown


def test_a_patch_is_shown_whole_before_it_is_allowed(
    start: Start, script: Script, project: Path
) -> None:
    answers = [deny, allow]
    before = (project / "app.py").read_text()
    client = start(
        script(
            {"calls": [call("apply_patch", patch=PATCH)]},
            {"calls": [call("apply_patch", patch=PATCH)]},
            {"text": "Done."},
        ),
        answer=lambda request: answers.pop(0)(request),
    )
    session = opened(client, project)
    client.prompt(session)
    first, second = client.questions(session)
    assert first["toolCall"]["content"] == second["toolCall"]["content"]
    assert [(block["path"], block.get("oldText")) for block in first["toolCall"]["content"]] == [
        (str(project / "app.py"), before),
        (str(project / "docs/note.md"), None),
    ]
    assert [shown["status"] for shown in client.calls(session).values()] == ["failed", "completed"]
    assert (project / "docs/note.md").read_text() == "A note.\n"
    assert "Servus" in (project / "app.py").read_text()


def test_moves_deletes_and_patches_are_taken_back(
    start: Start, script: Script, project: Path, auto: dict[str, str]
) -> None:
    (project / "old.txt").write_bytes(b"\xef\xbb\xbfgone\r\nsoon\r\n")
    before = {path.name: path.read_bytes() for path in project.iterdir()}
    client = start(
        script(
            {
                "calls": [
                    call("apply_patch", patch=PATCH),
                    call("move", path="app.py", to="src/greeting.py"),
                    call("delete", path="old.txt"),
                ]
            },
            {"text": "Done."},
        ),
        environment=auto,
    )
    session = opened(client, project)
    client.prompt(session)
    kinds = [shown["kind"] for shown in client.calls(session).values()]
    assert kinds == ["edit", "move", "delete"]
    assert not (project / "old.txt").exists()
    assert "Servus" in (project / "src/greeting.py").read_text()
    said(client, session, "/undo")
    assert {path.name: path.read_bytes() for path in project.iterdir() if path.is_file()} == before


def test_a_background_command_is_looked_at_stopped_and_never_left_behind(
    start: Start, script: Script, project: Path, auto: dict[str, str]
) -> None:
    server = f"echo ready; exec {SLEEP}"
    client = start(
        script(
            {"calls": [call("run_command", command=server, background=True)]},
            {"calls": [call("command_output", id="bg1", stop=True)]},
            {"calls": [call("run_command", command=server, background=True)]},
            {"calls": [call("command_output", id="bg2")]},
            {"text": "Running."},
        ),
        environment=auto,
    )
    session = opened(client, project)
    client.prompt(session)
    started, stopped, again, looked = results(client, session)
    assert "bg1 runs\nready" in started
    assert "bg1 ended with exit code 143" in stopped
    assert "bg2 runs\nready" in again
    assert "bg2 runs, no new output" in looked
    assert sleeping()
    client.kill()
    assert eventually(lambda: not sleeping())


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>Hello</h1><p>from <i>here</i></p>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("settings", "said_of_it", "asked"),
    [
        ({}, "there is no tool 'web_fetch'", False),
        ({"PUNIE_WEB_FETCH": "true"}, "is an address of this machine or its network", True),
        (
            {"PUNIE_WEB_FETCH": "true", "PUNIE_WEB_FETCH_PRIVATE": "true"},
            "# Hello\n\nfrom *here*",
            True,
        ),
    ],
)
def test_the_web_is_reached_only_where_the_user_wants_it(
    start: Start,
    script: Script,
    project: Path,
    page: str,
    settings: dict[str, str],
    said_of_it: str,
    asked: bool,
) -> None:
    model = script({"calls": [call("web_fetch", url=page)]}, {"text": "Done."})
    client = start(model, environment=settings)
    session = opened(client, project)
    client.prompt(session)
    assert said_of_it in results(client, session)[0]
    assert bool(client.questions(session)) == asked
