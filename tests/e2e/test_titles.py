"""A session gets a title after its first exchange, under which it is listed from then on."""

from pathlib import Path

from tests.e2e.client import Client
from tests.e2e.conftest import Script, Start


def titles(client: Client, session: str) -> list[str]:
    return [update["title"] for update in client.updates(session, "session_info_update")]


def test_the_first_prompt_makes_the_title(start: Start, script: Script, project: Path) -> None:
    model = script({"text": "Hi."}, repeat=True)
    client = start(model)
    client.initialize()
    session = client.new_session(project)
    # A greeting and a command say nothing of what the session is about.
    client.prompt(session, "hello")
    client.prompt(session, "/help")
    assert titles(client, session) == []
    client.prompt(session, "Please rename greet to welcome in app.py. Then run the tests.")
    (title,) = titles(client, session)
    assert "ename greet to welcome" in title
    client.prompt(session, "And now something else entirely")
    assert titles(client, session) == [title]
    listed = client.request("session/list", {"cwd": str(project)})["sessions"]
    assert [entry["title"] for entry in listed] == [title]
    client.kill()

    again = start(model)
    again.initialize()
    again.request("session/load", {"sessionId": session, "cwd": str(project), "mcpServers": []})
    assert titles(again, session) == [title]
    # The title costs no model call: the next prompt is the script's next answer, and no other.
    again.prompt(session, "Go on")
    assert titles(again, session) == [title]
