"""Code mode through real pipes: code that looks, asks, edits, is cancelled, loaded and undone."""

from pathlib import Path

import pytest

from tests.e2e.client import Client, Json, deny, eventually
from tests.e2e.conftest import Script, Start
from tests.e2e.test_commands import load, opened, said
from tests.processes import SLEEP, sleeping

pytestmark = pytest.mark.shared_agent

CODE_MODE = {"PUNIE_CODE_MODE": "1"}
BEFORE = "def greet(name):\n    return 'Hello ' + name\n"
AFTER = BEFORE.replace("Hello", "Servus")
POLITE = """\
# Say it in Viennese
for match in search("Hello"):
    print(match["path"], match["line"])
    text = read_file(match["path"])
    edit_file(match["path"], [{"old_text": "Hello", "new_text": "Servus"}])
    print(read_file(match["path"]) == text.replace("Hello", "Servus"))
"""


def code(text: str, **more: object) -> Json:
    return {"calls": [{"tool": "run_code", "arguments": {"code": text}}], **more}


def shown(client: Client, session: str) -> list[tuple[str, str, str]]:
    """Return the tool calls by their titles, kinds and ends, in the order they were begun."""
    calls = client.calls(session).values()
    return [(call["title"], call["kind"], call["status"]) for call in calls]


def outer(client: Client, session: str) -> str:
    """Return all texts of the last call of the model's own, whose titles say so."""
    own = [call for call in client.calls(session).values() if call["title"].startswith("Run code")]
    return "\n".join(block["content"]["text"] for block in own[-1]["content"])


def test_code_asks_in_the_middle_and_is_replayed_and_undone(
    start: Start, script: Script, project: Path
) -> None:
    model = script(code(POLITE, argument_chunks=6), {"text": "Done."}, {"text": "I said Servus."})
    client = start(model, environment=CODE_MODE)
    session = opened(client, project)
    assert client.prompt(session, "Say Servus.") == "end_turn"
    assert (project / "app.py").read_text() == AFTER
    (question,) = client.questions(session)
    ids = list(client.calls(session))
    assert question["toolCall"]["toolCallId"] == ids[3]
    assert question["toolCall"]["content"][0]["newText"] == AFTER
    assert shown(client, session) == [
        ("Run code: Say it in Viennese …", "other", "completed"),
        ('Search "Hello": 1 match', "search", "completed"),
        ("Read app.py", "read", "completed"),
        ("Edit app.py", "edit", "completed"),
        ("Read app.py", "read", "completed"),
    ]
    assert outer(client, session) == f"```python\n{POLITE.strip()}\n```\n```\napp.py 2\nTrue\n```"
    live = client.calls(session)
    client.kill()
    again = start(model, environment=CODE_MODE)
    again.initialize()
    load(again, session, project)
    assert shown(again, session) == shown(client, session)
    assert [call["content"] for call in again.calls(session).values()] == [
        call["content"] for call in live.values()
    ]
    # The model's own history has two responses, whatever the code called.
    assert again.prompt(session, "What did you do?") == "end_turn"
    assert "I said Servus." in again.text(session)
    assert "`app.py` is as it was before" in said(again, session, "/undo 2")
    assert (project / "app.py").read_text() == BEFORE


WRONG = [
    ("x = 1\nfor\n", "line 2: Expected"),
    ("read_fil('app.py')", "did you mean read_file(path: str,"),
    ("while True: list_dir()", "the code made 100 calls; do less in one run"),
    ("open('app.py').read()", "open reaches outside the sandbox"),
    ("'x' * 10**12", "the code took too much memory"),
]


def test_what_was_not_allowed_or_wrong_is_told_and_changes_nothing(
    start: Start, script: Script, project: Path
) -> None:
    texts = [POLITE, POLITE, *(text for text, _ in WRONG)]
    responses = [response for text in texts for response in (code(text), {"text": "Sorry."})]
    client = start(script(*responses), environment=CODE_MODE)
    client.answer = deny
    session = opened(client, project)
    assert client.prompt(session) == "end_turn"
    assert len(client.questions(session)) == 1
    assert [status for _, _, status in shown(client, session)] == [
        "failed", "completed", "completed", "failed",
    ]  # fmt: skip
    assert "PermissionError: the user did not allow this call" in outer(client, session)
    assert "printed before that:\napp.py 2" in outer(client, session)
    client.request("session/set_mode", {"sessionId": session, "modeId": "plan"})
    client.prompt(session)
    assert len(client.questions(session)) == 1
    assert "PermissionError: plan mode only allows reading" in outer(client, session)
    for _, said_of_it in WRONG:
        assert client.prompt(session) == "end_turn"
        assert said_of_it in outer(client, session)
    assert client.text(session) == "Sorry." * len(texts)
    assert (project / "app.py").read_text() == BEFORE


def test_it_is_shown_while_it_is_written_and_ends_with_a_cancel(
    start: Start, script: Script, project: Path
) -> None:
    padding = "# first the line, then the command\n" * 20
    text = f"{padding}try:\n    run_command('echo $$ > pid; exec {SLEEP}')\n"
    text += "except BaseException: pass\nwrite_file('after', 'x')"
    slow = {**code(text, argument_chunks=20), "delay": 0.05}
    client = start(
        script(slow, {"text": "Still here."}), environment={**CODE_MODE, "PUNIE_MODE": "auto"}
    )
    session = opened(client, project)
    turn = client.begin_prompt(session)
    pid = project / "pid"
    assert eventually(lambda: pid.exists() and pid.read_text().endswith("\n"), 20)
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(turn)["stopReason"] == "cancelled"
    assert eventually(lambda: not sleeping())
    assert [status for _, _, status in shown(client, session)] == ["failed", "failed"]
    first = next(iter(client.calls(session)))
    sizes = [
        len(update["content"][0]["content"]["text"])
        for update in client.updates(session, "tool_call_update")
        if update["toolCallId"] == first and update.get("status") is None
    ]
    assert len(sizes) >= 2
    assert sizes == sorted({*sizes})
    assert client.prompt(session) == "end_turn"
    assert "Still here." in client.text(session)
    assert not (project / "after").exists()
