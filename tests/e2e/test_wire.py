"""Whatever a client writes is answered, and never ends the process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Client, Refused


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One process for all of them: none may end it."""
    home = tmp_path_factory.mktemp("wire")
    script = home / "script.json"
    script.write_text('{"responses": [{"text": "Done."}], "repeat": true}')
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PUNIE_STATE_DIR": str(home / "state"),
        "PUNIE_CONFIG_DIR": str(home / "config"),
        "PUNIE_MODEL": f"scripted:{script}",
    }
    with Client(variables, sound=False) as client:
        client.initialize()
        yield client


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"jsonrpc": "2.0", "id": 7, "method": "ini', -32700),
        (b"nonsense", -32700),
        (b'{"a": NaN}', -32700),
        (b'{"jsonrpc":"2.0","id":1e999,"method":"x"}', -32700),
        (b'\xff\xfe{"jsonrpc":"2.0"}', -32700),
        (b"[" * 100_000, -32700),
        (b'{"a":' * 50_000, -32700),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 10_000 + b',"method":"x"}', -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"initialize"}]', -32600),
        (b"42", -32600),
        (b'"text"', -32600),
        (b"null", -32600),
        (b"true", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"2.0","id":{"a":1},"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":null}', -32600),
        (b'{"jsonrpc":"2.0","method":7}', -32600),
        (b'{"method":"initialize"}', -32600),
    ],
)
def test_unusable_lines_are_answered_without_an_id(agent: Client, line: bytes, code: int) -> None:
    before = len(agent.messages)
    agent.write(line + b"\n")
    answer = agent.wait_for(lambda message: message.get("id") is None, after=before)
    assert answer["error"]["code"] == code
    assert set(answer["error"]) == {"code", "message"}
    assert agent.initialize()["protocolVersion"] == 1


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("no/such", {}, -32601),
        ("_ext/method", {}, -32601),
        ("session/list", {"cursor": "novel"}, -32602),
        ("session/delete", {}, -32602),
        ("_session/delete", {"sessionId": "x"}, -32601),
        ("session/close", {"sessionId": "x"}, -32002),
        ("$/unknown", {}, -32601),
        ("session/cancel", {"sessionId": "x"}, -32601),
        ("initialize", {}, -32602),
        ("initialize", {"protocolVersion": 70_000}, -32602),
        ("session/new", {}, -32602),
        ("session/new", {"cwd": 7, "mcpServers": []}, -32602),
        ("session/new", {"cwd": "/", "mcpServers": "none"}, -32602),
        ("session/prompt", {"sessionId": "x", "prompt": [{"type": "novel"}]}, -32602),
        ("session/prompt", {"sessionId": "unknown", "prompt": []}, -32002),
        ("session/set_mode", {"sessionId": "x", "modeId": "ask"}, -32002),
        ("session/load", {"sessionId": "x", "cwd": "/", "mcpServers": []}, -32002),
        ("authenticate", {"methodId": "other"}, -32602),
    ],
)
def test_bad_requests_get_one_sentence(
    agent: Client, method: str, params: dict[str, object], code: int
) -> None:
    with pytest.raises(Refused) as refused:
        agent.request(method, params)
    assert refused.value.code == code
    assert "data" not in refused.value.error
    assert "pydantic" not in refused.value.message.lower()
    assert "\n" not in refused.value.message


def test_params_of_another_shape(agent: Client) -> None:
    shapes: list[object] = [[], [1, 2], "text", 3, True]
    for params in shapes:
        request = agent.call("initialize", params)
        with pytest.raises(Refused, match="-32602"):
            agent.result(request)


def test_errors_do_not_repeat_what_was_sent(agent: Client) -> None:
    with pytest.raises(Refused) as refused:
        agent.request("session/new", {"cwd": {"token": "hunter2"}, "mcpServers": []})
    assert "hunter2" not in refused.value.message


def test_unknown_notifications_are_ignored(agent: Client) -> None:
    before = len(agent.messages)
    for method in ("no/such", "_ext/note", "$/progress", "session/prompt", "session/cancel"):
        agent.notify(method, {"sessionId": 3})
    assert agent.initialize()["protocolVersion"] == 1
    assert len(agent.messages) == before + 1


def test_answers_to_nothing_are_ignored(agent: Client) -> None:
    agent.write(b'{"jsonrpc":"2.0","id":99,"result":{}}\n')
    agent.write(b'{"jsonrpc":"2.0","id":"x","result":{}}\n')
    agent.write(b'{"jsonrpc":"2.0","id":0.5,"result":{}}\n')
    agent.write(b'{"jsonrpc":"2.0","id":0,"error":"text"}\n')
    agent.write(b'{"jsonrpc":"2.0","id":0,"error":{"code":"x","message":[]}}\n')
    assert agent.initialize()["protocolVersion"] == 1


def test_any_id_extra_keys_empty_lines_and_crlf(agent: Client) -> None:
    for request_id in ("text", "", -1, 2**63, None):
        agent.send(
            {
                "jsonrpc": "2.0",
                "id": request_id,
                "method": "authenticate",
                "params": {"methodId": "local"},
                "type": "request",
            }
        )
        if request_id is not None:
            agent.result(request_id)
    agent.write(b"\n  \r\n\n")
    agent.write(b'{"jsonrpc":"2.0","id":"crlf","method":"authenticate",')
    agent.write(b'"params":{"methodId":"local"}}\r\n')
    assert agent.result("crlf") == {}


def test_meta_never_overrides_parameters(agent: Client, project: Path, tmp_path: Path) -> None:
    elsewhere = str(tmp_path)
    evil = {"cwd": elsewhere, "self": 1, "request": 2, "session_id": "x", "": 3}
    params = {"cwd": "relative", "mcpServers": [], "_meta": evil, "field_meta": evil}
    with pytest.raises(Refused, match="absolute path, not 'relative'"):
        agent.request("session/new", params)
    params["cwd"] = str(project)
    session = agent.request("session/new", params)["sessionId"]
    with pytest.raises(Refused, match="There is no mode 'x'"):
        agent.request(
            "session/set_mode",
            {"sessionId": session, "modeId": "x", "_meta": {"mode_id": "auto", "request": {}}},
        )
    metas: list[object] = [None, 3, [], "text", {}]
    for meta in metas:
        agent.request("session/new", {"cwd": str(project), "mcpServers": [], "_meta": meta})


def test_half_a_surrogate_pair_becomes_text(agent: Client, project: Path) -> None:
    session = agent.new_session(project)
    agent.write(
        b'{"jsonrpc":"2.0","id":"s","method":"session/prompt","params":{"sessionId":"%s",'
        b'"prompt":[{"type":"text","text":"a \\ud800 b"}]}}\n' % session.encode()
    )
    assert agent.result("s")["stopReason"] == "end_turn"


def test_a_line_in_many_pieces_and_many_lines_in_one_piece(agent: Client) -> None:
    line = b'{"jsonrpc":"2.0","id":"%d","method":"authenticate","params":{"methodId":"local"}}\n'
    for byte in line % 1:
        agent.write(bytes([byte]))
    agent.write(b"".join(line % number for number in range(2, 200)))
    for number in range(1, 200):
        assert agent.result(str(number)) == {}


def test_a_large_prompt_is_taken(agent: Client, project: Path) -> None:
    session = agent.new_session(project)
    with pytest.raises(Refused, match="image"):
        agent.request(
            "session/prompt",
            {
                "sessionId": session,
                "prompt": [{"type": "image", "mimeType": "image/png", "data": "A" * 20_000_000}],
            },
        )
