"""`session/new`: folders, MCP servers and further roots of every kind."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Json, Refused
from tests.e2e.conformance.conftest import Stage
from tests.e2e.conftest import Start

READ = "read_file"


def new(stage: Stage, cwd: object, **params: Any) -> Json:
    result = stage.client.request("session/new", {"cwd": cwd, "mcpServers": [], **params})
    assert isinstance(result, dict)
    return result


def test_it_opens_with_modes_and_options_and_nothing_before_the_answer(stage: Stage) -> None:
    # That no update comes before the answer is checked with every message.
    result = new(stage, str(stage.project()))
    assert result["sessionId"]
    options = {option["id"]: option for option in result["configOptions"]}
    assert options["mode"]["currentValue"] == result["modes"]["currentModeId"] == "ask"
    for option in options.values():
        assert option["currentValue"] in [choice["value"] for choice in option["options"]]


def test_ids_are_unique(stage: Stage) -> None:
    project = str(stage.project())
    requests = [
        stage.client.call("session/new", {"cwd": project, "mcpServers": []}) for _ in range(8)
    ]
    assert len({stage.client.result(request)["sessionId"] for request in requests}) == 8


@pytest.mark.parametrize(
    "cwd", ["", ".", "relative/path", "~", "file:///tmp", "/no/such/folder", "/dev/null", "/a\0b"]
)
def test_folders_that_cannot_be_used(stage: Stage, cwd: str) -> None:
    with pytest.raises(Refused) as refused:
        new(stage, cwd)
    assert refused.value.code == -32602


@pytest.mark.parametrize("cwd", [None, 7, [], {}])
def test_folders_of_another_type(stage: Stage, cwd: object) -> None:
    with pytest.raises(Refused) as refused:
        new(stage, cwd)
    assert (refused.value.code, "cwd" in refused.value.message) == (-32602, True)


def test_folders_with_odd_names(stage: Stage) -> None:
    for name in ("with space", "ümlaut", "🐍", "quo'te\"s", "$HOME", "-rf"):
        folder = stage.folder / "odd" / name
        folder.mkdir(parents=True, exist_ok=True)
        assert new(stage, str(folder))["sessionId"]
        assert new(stage, str(folder) + "/")["sessionId"]


@pytest.mark.parametrize(
    "servers",
    [
        [{"name": "gone", "command": "/no/such/program", "args": [], "env": []}],
        [{"name": "silent", "command": "/bin/true", "args": [], "env": []}],
        [{"type": "http", "name": "h", "url": "http://127.0.0.1:1/mcp", "headers": []}],
        [{"type": "sse", "name": "s", "url": "http://127.0.0.1:1/sse", "headers": []}],
        [
            {"name": "same", "command": "/no/such/program", "args": [], "env": []},
            {"name": "same", "command": "/no/such/program", "args": [], "env": []},
        ],
    ],
)
def test_an_mcp_server_that_does_not_work_never_fails_the_session(
    stage: Stage, servers: list[Json]
) -> None:
    project = stage.project({"text": "I work."})
    session = new(stage, str(project), mcpServers=servers)["sessionId"]
    assert stage.client.prompt(session) == "end_turn"
    assert "I work." in stage.client.text(session)


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "novel", "name": "n", "url": "x"},
        {"type": "acp", "name": "a", "id": "1"},
        {"name": "half"},
        {},
        None,
        "text",
    ],
)
def test_mcp_servers_of_unknown_kinds_are_skipped(stage: Stage, entry: object) -> None:
    stage.client.exchange.sound = False
    project = stage.project({"text": "I work."})
    session = new(stage, str(project), mcpServers=[entry])["sessionId"]
    assert stage.client.prompt(session) == "end_turn"


def test_mcp_servers_must_be_a_list(stage: Stage) -> None:
    for servers in ("none", {"a": 1}, 3):
        with pytest.raises(Refused, match="mcpServers") as refused:
            new(stage, str(stage.project()), mcpServers=servers)
        assert refused.value.code == -32602


def test_additional_directories_are_roots_too(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the password is swordfish")
    call = {"tool": READ, "arguments": {"path": str(tmp_path / "notes.txt")}}
    script: list[Json] = [{"calls": [call]}, {"text": "Read."}]
    for roots, status in ([str(tmp_path)], "completed"), ([], "failed"):
        params = {"additionalDirectories": roots}
        session = new(stage, str(stage.project(*script)), **params)["sessionId"]
        stage.client.prompt(session)
        (final,) = stage.client.calls(session).values()
        assert final["status"] == status
        assert ("swordfish" in str(final["content"])) == (status == "completed")


@pytest.mark.parametrize("directory", ["", "relative", "/no/such/folder", "/dev/null"])
def test_additional_directories_that_cannot_be_used(stage: Stage, directory: str) -> None:
    with pytest.raises(Refused) as refused:
        new(stage, str(stage.project()), additionalDirectories=[directory])
    assert refused.value.code == -32602
    with pytest.raises(Refused, match="-32602"):
        new(stage, str(stage.project()), additionalDirectories="/tmp")


def test_the_commands_come_after_the_answer(stage: Stage) -> None:
    session = new(stage, str(stage.project()))["sessionId"]
    update = stage.client.wait_update(
        session, lambda update: update["sessionUpdate"] == "available_commands_update"
    )
    names = [command["name"] for command in update["availableCommands"]]
    assert {"help", "compact", "mode", "model", "plan"} <= set(names)
    assert len(names) == len(set(names))
    assert all(command["description"] for command in update["availableCommands"])


@pytest.mark.parametrize("method", ["session/load", "session/resume", "session/fork"])
def test_the_commands_come_again_after_the_answer(stage: Stage, method: str) -> None:
    project = stage.project()
    session = stage.client.new_session(project)
    stage.client.prompt(session)
    before = len(stage.client.messages)
    request = stage.client.call(
        method, {"sessionId": session, "cwd": str(project), "mcpServers": []}
    )
    stage.client.result(request)
    told = stage.client.wait_for(
        lambda message: "available_commands_update" in str(message), after=before
    )
    messages = stage.client.messages[before:]
    answer = next(message for message in messages if message.get("id") == request)
    assert messages.index(answer) < messages.index(told)


def test_a_jetbrains_ide_that_stumbles_over_options_gets_modes_alone(
    start: Start, stage: Stage
) -> None:
    client = start()
    for version, has_options in (("2026.1.2", False), ("2026.2", True)):
        info = {"name": "JetBrains.PyCharm", "title": f"PyCharm {version}", "version": version}
        client.initialize(clientInfo=info)
        result = client.request("session/new", {"cwd": str(stage.project()), "mcpServers": []})
        assert result["modes"]["currentModeId"] == "ask"
        assert ("configOptions" in result) == has_options
