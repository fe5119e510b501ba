"""What a JetBrains IDE sends from its start to a reopened chat, replayed line by line.

pycharm.jsonl follows captures that others published of WebStorm 2026.1.2: everything twice and at
once, options before each prompt, `"type"` in the envelope, and tokens that must never be kept.
"""

import json
from pathlib import Path
from string import Template
from typing import Any

import pytest

from tests.e2e.client import Client, Json, merged_calls
from tests.e2e.conftest import Script, Start

FIXTURE = Path(__file__).with_name("pycharm.jsonl")
SECRET = "gateway-token-hunter2"
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}


def replay(client: Client, names: dict[str, str], kind: str) -> dict[int, Json]:
    """Send the fixture's messages; return the results of its requests by their ids."""
    results: dict[int, Json] = {}
    for line in FIXTURE.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        if raw.get("only", kind) != kind:
            continue
        step = json.loads(Template(json.dumps(raw)).substitute(names))
        if "send" in step:
            client.send(step["send"])
        if "seen" in step:
            client.wait_for(lambda message, text=step["seen"]: text in str(message))  # type: ignore[misc]
        for number in step.get("answered", ()):
            results[number] = client.result(number)
        for name, (number, key) in raw.get("keep", {}).items():
            names[name] = results[number][key]
    return results


@pytest.fixture
def model(script: Script) -> str:
    return script(
        {"thought": "The greeting.", "text": "I change it.", "calls": [EDIT]},
        {"text": "Done."},
        {"text": "slow " * 200, "delay": 0.05, "chunks": 200},
    )


@pytest.mark.parametrize(("version", "kind"), [("2026.1.2", "modes"), ("2026.2.1", "options")])
def test_the_start_of_an_ide(
    start: Start,
    model: str,
    project: Path,
    environment: dict[str, str],
    version: str,
    kind: str,
) -> None:
    names = {
        "VERSION": version,
        "SECRET": SECRET,
        "PROJECT": str(project),
        "HOME": environment["HOME"],
        "MODEL": model,
        "SESSION": "",
        "IDLE": "",
    }
    client = start(model, environment={"PUNIE_LOG_LEVEL": "DEBUG"})
    client.answer = Editor(project).answer
    results = replay(client, names, kind)
    session, idle = names["SESSION"], names["IDLE"]

    assert results[1] == results[2]
    assert results[1]["authMethods"] == []
    assert session != idle
    assert results[3]["modes"] == results[4]["modes"]
    assert ("configOptions" in results[3]) == (kind == "options")
    assert results[8] == {"stopReason": "end_turn"}
    assert results[12] == {"stopReason": "cancelled"}
    assert "Servus" in (project / "app.py").read_text()
    assert len(client.questions(session)) == 1

    # The echo changed nothing: neither was told to the client nor asked again.
    kinds = [update["sessionUpdate"] for update in client.updates(session)]
    assert not {"current_mode_update", "config_option_update"} & set(kinds)
    # Nothing at all happened in the idle chat, save what every session is told.
    told = {update["sessionUpdate"] for update in client.updates(idle)}
    assert told <= {"available_commands_update", "agent_message_chunk", "notice"}
    assert "Servus" not in str(client.updates(idle))

    # The reopened chat shows what the chat showed, under the same ids.
    load = next(n for n, message in enumerate(client.messages) if message.get("id") == 12)
    before, after = (
        merged_calls(updates_of(part, session))
        for part in (client.messages[:load], client.messages[load:])
    )
    assert [call["status"] for call in after.values()] == ["completed"]
    assert before.keys() == after.keys()
    assert replies(client.messages[load:], session) == replies(client.messages[:load], session)

    client.close_stdin()
    client.wait_exit()
    assert client.stderr == ""
    assert kept_secrets(Path(environment["PUNIE_STATE_DIR"])) == []
    assert kept_secrets(Path(environment["HOME"])) == []


class Editor:
    """The IDE's part: files through its buffers, questions allowed once."""

    def __init__(self, project: Path) -> None:
        self._project = project

    def answer(self, request: Json) -> Json | None:
        params = request["params"]
        match request["method"]:
            case "fs/read_text_file":
                return {"content": Path(params["path"]).read_text()}
            case "fs/write_text_file":
                Path(params["path"]).write_text(params["content"])
                return {}
            case _:
                (option, *_) = [o for o in params["options"] if o["kind"] == "allow_once"]
                return {"outcome": {"outcome": "selected", "optionId": option["optionId"]}}


def updates_of(messages: list[Json], session: str) -> list[Json]:
    return [
        message["params"]["update"]
        for message in messages
        if message.get("method") == "session/update" and message["params"]["sessionId"] == session
    ]


def replies(messages: list[Json], session: str) -> str:
    chunks: list[Any] = updates_of(messages, session)
    return "".join(
        chunk["content"]["text"]
        for chunk in chunks
        if chunk["sessionUpdate"] == "agent_message_chunk"
    )


def kept_secrets(folder: Path) -> list[str]:
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
