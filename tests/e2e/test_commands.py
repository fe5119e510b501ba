"""Slash commands are answered by the agent itself; the model hears nothing of them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, Json, deny, merged_calls, messages_of
from tests.e2e.conftest import Script, Start

pytestmark = pytest.mark.shared_agent

NAMES = [
    "help",
    "compact",
    "model",
    "mode",
    "permissions",
    "undo",
    "redo",
    "plan",
    "init",
    "mcp",
    "skills",
    "logs",
    "export",
]
READ = {"tool": "read_file", "arguments": {"path": "app.py"}}


def opened(client: Client, project: Path, **params: Any) -> str:
    client.initialize(**params)
    return client.new_session(project)


def load(client: Client, session: str, cwd: Path) -> None:
    client.request("session/load", {"sessionId": session, "cwd": str(cwd), "mcpServers": []})


def said(client: Client, session: str, text: str) -> str:
    """Send a prompt and return what was answered to it."""
    before = len(client.text(session))
    assert client.prompt(session, text) == "end_turn"
    return client.text(session)[before:]


def is_commands(update: Json) -> bool:
    return bool(update["sessionUpdate"] == "available_commands_update")


def test_commands_are_told_after_the_session_is_known(
    start: Start, script: Script, project: Path
) -> None:
    client = start(script({"text": "Hi."}))
    session = opened(client, project)
    update = client.wait_update(session, is_commands)
    commands = {command["name"]: command for command in update["availableCommands"]}
    assert list(commands) == NAMES
    assert all(command["description"] for command in commands.values())
    assert commands["undo"]["input"] == {"hint": "[number of turns]"}
    assert "input" not in commands["help"]
    kinds = [
        "answer" if "result" in message else message["params"]["update"]["sessionUpdate"]
        for message in client.messages
        if "result" in message or message.get("method") == "session/update"
    ]
    assert kinds[:3] == ["answer", "answer", "available_commands_update"]
    client.prompt(session)
    client.kill()
    for method in ("session/load", "session/resume"):
        again = start(script({"text": "Hi."}))
        again.initialize()
        again.request(method, {"sessionId": session, "cwd": str(project), "mcpServers": []})
        assert again.wait_update(session, is_commands)["availableCommands"] == list(
            commands.values()
        )


def test_a_command_is_a_turn_without_the_model(start: Start, script: Script, project: Path) -> None:
    model = script({"text": "One."}, {"text": "Two."}, {"text": "Three."})
    client = start(model)
    session = opened(client, project)
    assert said(client, session, "hello") == "One."
    answer = said(client, session, "/help")
    for name in NAMES:
        assert f"`/{name}" in answer
    # The script goes by the answers in the model's history: the command's is none of them.
    assert said(client, session, "again") == "Two."
    before = messages_of(client.updates(session))
    client.kill()
    client = start(model)
    client.initialize()
    load(client, session, project)
    after = messages_of(client.updates(session))
    assert [message for message in after if message[0] != "user_message_chunk"] == before
    assert [text for kind, _, text in after if kind == "user_message_chunk"] == [
        "hello",
        "/help",
        "again",
    ]
    assert said(client, session, "more") == "Three."


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("/undp", "There is no command `/undp`; did you mean `/undo`? `/help` lists them all."),
        ("/zzz now", "There is no command `/zzz`, `/help` lists them all."),
    ],
)
def test_unknown_commands_are_answered(
    start: Start, script: Script, project: Path, prompt: str, answer: str
) -> None:
    client = start(script({"text": "From the model."}))
    session = opened(client, project)
    assert said(client, session, prompt) == answer
    assert said(client, session, "hello") == "From the model."


@pytest.mark.parametrize(
    "prompt",
    [
        "/usr/bin/env is missing",
        "/src/app.py is broken",
        "/",
        "/ help",
        "/Help",
        "see /help",
        "//x",
    ],
)
def test_prompts_that_only_look_like_commands_go_to_the_model(
    start: Start, script: Script, project: Path, prompt: str
) -> None:
    client = start(script({"text": "From the model."}))
    session = opened(client, project)
    assert said(client, session, prompt) == "From the model."


def test_other_blocks_may_follow_a_command(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "From the model."}))
    session = opened(client, project)
    link = {"type": "resource_link", "uri": (project / "app.py").as_uri(), "name": "app.py"}
    prompt = [{"type": "text", "text": "/mode"}, link]
    client.request("session/prompt", {"sessionId": session, "prompt": prompt})
    assert "`accept_edits`" in client.text(session)


def test_mode_is_shown_and_changed(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "Hi."}))
    session = opened(client, project)
    assert "- `ask`: Ask before every edit and every command (now)" in said(
        client, session, "/mode"
    )
    answer = said(client, session, "/mode Accept edits")
    assert answer.startswith("The mode is `accept_edits` now: edit files without asking")
    (mode,) = client.updates(session, "current_mode_update")
    assert mode["currentModeId"] == "accept_edits"
    (options,) = client.updates(session, "config_option_update")
    assert options["configOptions"][0]["currentValue"] == "accept_edits"
    assert said(client, session, "/mode accept-edits") == "The mode is `accept_edits` already."
    assert "the modes are `ask`, `accept_edits`, `plan`, `auto`" in said(
        client, session, "/mode yolo"
    )
    # The order is that of what happened: the change is told before the sentence about it.
    kinds = [update["sessionUpdate"] for update in client.updates(session)]
    assert kinds.index("current_mode_update") < len(kinds) - 1


def test_model_is_shown_and_changed(start: Start, script: Script, project: Path) -> None:
    other = script({"text": "From the other."}, name="other.json")
    client = start(script({"text": "From the first."}))
    session = opened(client, project)
    assert "(now)" in said(client, session, "/model")
    assert "No single model is called `gpt`" in said(client, session, "/model gpt")
    answer = said(client, session, "/model tiny")
    assert answer.startswith("The model is `punie-tiny` from the next message on.")
    (options,) = client.updates(session, "config_option_update")
    assert options["configOptions"][1]["currentValue"] == "punie-tiny"
    assert "already" in said(client, session, "/model punie-tiny")
    said(client, session, "/model script.json")
    assert said(client, session, "hello") == "From the first."
    assert other not in client.text(session)


def test_logs_are_those_of_the_session(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "Hi."}))
    other = opened(client, project)
    session = client.new_session(project)
    client.prompt(other)
    client.prompt(session)
    answer = said(client, session, "/logs 5")
    assert f"punie logs --session {session}" in answer
    lines = [line for line in answer.splitlines() if " INFO " in line]
    assert lines
    assert all(session in line for line in lines)
    assert said(client, session, "/logs all") == "`/logs` takes a number of lines from 1 to 200."


def test_export_writes_a_new_file_only(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "It greets.", "calls": [READ]}, {"text": "That is all."}))
    session = opened(client, project)
    client.prompt(session, "What does app.py do?")
    day = datetime.now().astimezone().date().isoformat()
    assert said(client, session, "/export") == (f"The conversation is in `punie-session-{day}.md`.")
    text = (project / f"punie-session-{day}.md").read_text()
    assert text.startswith("# What does app.py do?\n\n## You\n\nWhat does app.py do?\n\n## Punie\n")
    assert "It greets.\n\n- Read app.py\n\nThat is all.\n" in text
    assert said(client, session, "/export") == (
        f"The conversation is in `punie-session-{day}-2.md`."
    )
    assert "already; name another one" in said(client, session, "/export app.py")
    assert "Hello" in (project / "app.py").read_text()
    assert said(client, session, "/export notes/talk.md").endswith("`notes/talk.md`.")
    assert "workspace" in said(client, session, "/export ../out.md")
    assert not (project.parent / "out.md").exists()


def test_compact_drops_old_results_and_the_prefix_goes_on(
    start: Start, script: Script, project: Path
) -> None:
    (project / "long.txt").write_text("word " * 400)
    read = {"tool": "read_file", "arguments": {"path": "long.txt"}}
    model = script(
        {"text": "First.", "calls": [read]},
        {"text": "Read."},
        {"text": "Second.", "calls": [read]},
        {"text": "Again."},
        {"text": "Third."},
        {"text": "Fourth."},
        {"text": "Fifth."},
    )
    client = start(model)
    session = opened(client, project)
    assert "nothing to leave out" in said(client, session, "/compact")
    client.prompt(session, "one")
    client.prompt(session, "two")
    client.prompt(session, "three")
    used = client.updates(session, "usage_update")[-1]
    answer = said(client, session, "/compact")
    assert "1 tool result that came again later and 1 older tool result" in answer
    after = client.updates(session, "usage_update")[-1]
    assert after["size"] == used["size"]
    assert after["used"] < used["used"] - 500
    assert f"about {used['used']:,} to about {after['used']:,}" in answer
    assert said(client, session, "four") == "Fourth."
    told = client.updates(session, "usage_update")[-1]["used"]
    assert told < used["used"]
    client.kill()
    client = start(model)
    client.initialize()
    load(client, session, project)
    assert said(client, session, "five") == "Fifth."
    assert client.updates(session, "usage_update")[-1]["used"] < used["used"]


def test_a_client_that_shows_compactions_gets_one(
    start: Start, script: Script, project: Path
) -> None:
    client = start(script({"text": "Hi."}, repeat=True))
    capabilities: Json = {"session": {"compaction": {}}}
    session = opened(client, project, clientCapabilities=capabilities)
    for text in ("one", "two", "three", "four"):
        client.prompt(session, text)
    answer = said(client, session, "/compact")
    assert "2 older turns (4 messages)" in answer
    (update,) = client.updates(session, "compaction_update")
    assert update["status"] == "completed"
    assert update["summary"][0]["text"] == (
        "4 older messages left the model's context. A summary stays."
    )


PYPROJECT = '[project]\nname = "shop"\ndescription = "Sells things."\n[tool.pytest.ini_options]\n'


def test_init_writes_the_guide_as_an_edit_that_is_asked_for(
    start: Start, script: Script, project: Path
) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT)
    client = start(script({"text": "Hi."}))
    session = opened(client, project)
    answer = said(client, session, "/init")
    assert answer.startswith("AGENTS.md is written")
    text = (project / "AGENTS.md").read_text()
    assert text.startswith("# shop\n\nSells things.\n")
    assert "- Tests: `python -m pytest`" in text
    (call,) = merged_calls(client.updates(session)).values()
    assert (call["kind"], call["status"]) == ("edit", "completed")
    assert call["content"][0]["type"] == "diff"
    assert call["content"][0]["newText"] == text
    asked = [m for m in client.messages if m.get("method") == "session/request_permission"]
    assert len(asked) == 1
    # Never written over: what it would add is shown.
    assert "says all that" in said(client, session, "/init")
    (project / "AGENTS.md").write_text("My own.\n")
    assert "It lacks:\n\n```markdown\n" in said(client, session, "/init")
    assert (project / "AGENTS.md").read_text() == "My own.\n"


def test_init_respects_modes_and_answers(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "Hi."}), answer=deny)
    session = opened(client, project)
    assert "because you did not allow it" in said(client, session, "/init")
    said(client, session, "/mode plan")
    assert "The plan mode changes no files" in said(client, session, "/init")
    assert not (project / "AGENTS.md").exists()
    said(client, session, "/mode auto")
    assert "is written" in said(client, session, "/init")
    asked = [m for m in client.messages if m.get("method") == "session/request_permission"]
    assert len(asked) == 1


def test_a_command_that_waits_for_an_answer_can_be_cancelled(
    start: Start, script: Script, project: Path
) -> None:
    client = start(script({"text": "From the model."}), answer=lambda request: None)
    session = opened(client, project)
    request = client.begin_prompt(session, "/init")
    client.wait_for(lambda message: message.get("method") == "session/request_permission")
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(request)["stopReason"] == "cancelled"
    (call,) = merged_calls(client.updates(session)).values()
    assert call["status"] == "failed"
    assert not (project / "AGENTS.md").exists()
    assert said(client, session, "hello") == "From the model."


def test_a_cancelled_question_of_a_command_ends_it_cancelled(
    start: Start, script: Script, project: Path
) -> None:
    client = start(
        script({"text": "From the model."}),
        answer=lambda request: {"outcome": {"outcome": "cancelled"}},
    )
    session = opened(client, project)
    assert client.prompt(session, "/init") == "cancelled"
    assert not (project / "AGENTS.md").exists()


def test_commands_give_no_title_and_are_not_exported(
    start: Start, script: Script, project: Path
) -> None:
    client = start(script({"text": "Hi."}))
    session = opened(client, project)
    said(client, session, "/help")
    said(client, session, "Please tell me about app.py.")
    answer = said(client, session, "/export talk.md")
    assert "talk.md" in answer
    first = (project / "talk.md").read_text().splitlines()[0]
    assert first == "# Tell me about app.py"
    assert "/help" not in (project / "talk.md").read_text()
