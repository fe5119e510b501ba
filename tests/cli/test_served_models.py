"""What the commands tell of models on a server. They run in this process: importing takes long."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from punie.cli import bench, models
from punie.cli.checks import Finding, Subject, check_chosen_model, check_model_opens
from punie.models.endpoint import KEY_VARIABLE
from punie.settings import load_settings
from tests.openai_server import OpenAIServer, serve_openai


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    served = OpenAIServer(models=[{"id": "org/big", "max_model_len": 40_960}, {"id": "small"}])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.delenv("PUNIE_MODEL", raising=False)
    with serve_openai(served):
        monkeypatch.setenv("PUNIE_OPENAI_URL", served.url)
        yield served


def findings(server: OpenAIServer) -> list[Finding]:
    subject = Subject(load_settings(), Path.cwd())
    return [one for one in check_chosen_model(subject) if one.subject in ("model", "server")]


def test_choosing_listing_and_info(
    server: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models.main(["use", "openai:org/big"]) == 0
    assert load_settings().model == "openai:org/big"
    capsys.readouterr()
    assert models.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert f"On the server {server.url}:\n* openai:org/big\n    reads 40,960 tokens\n" in shown
    assert "  openai:small\n    how much it reads is not told; set openai_context" in shown
    assert "not on this machine" not in shown
    assert models.main(["list", "--json"]) == 0
    listed = {entry["id"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["openai:org/big"]["in_use"]
    assert listed["openai:small"] == {
        "id": "openai:small",
        "source": "endpoint",
        "url": server.url,
        "in_use": False,
        "context": None,
    }
    assert models.main(["info", "openai:org/big"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "openai:org/big (in use)",
        f"  server        {server.url}",
        "  reads         40,960 tokens",
    ]
    assert models.main(["use", "openai:small"]) == 0
    assert "set openai_context in your settings." in capsys.readouterr().err


def test_doctor_asks_the_server(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUNIE_MODEL", "openai:org/big")
    model, there = findings(server)
    assert (model.status, model.text) == ("ok", "big (endpoint)")
    assert (there.status, there.text) == ("ok", f"{server.url}, reads 40,960 tokens")
    (opened,) = check_model_opens(Subject(load_settings(), Path.cwd()))
    assert opened.status == "ok"
    monkeypatch.setenv("PUNIE_MODEL", "openai:small")
    assert (findings(server)[1].status, findings(server)[1].cure) == (
        "warning",
        "set openai_context",
    )
    monkeypatch.setenv("PUNIE_MODEL", "openai:gone")
    missing = findings(server)[1]
    assert missing.status == "failure"
    assert missing.text == f"The server at {server.url} has no model gone"
    assert missing.cure == "it has org/big, small"


@pytest.mark.parametrize("command", [["use"], ["info"], ["rm", "--yes"]])
def test_what_cannot_be_done_is_one_sentence(
    server: OpenAIServer, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert models.main([*command, "openai:gone"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    reason = "on a server; delete it there" if command[0] == "rm" else "has no model gone"
    assert reason in shown.err


def test_a_server_that_is_not_there_or_not_named(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PUNIE_MODEL", "openai:org/big")
    monkeypatch.setenv("PUNIE_OPENAI_URL", "http://127.0.0.1:9/v1")
    assert models.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "* openai:org/big\n    on the server below" in shown
    assert "The server at http://127.0.0.1:9/v1 cannot be reached; start it" in shown
    assert findings(server)[1].status == "failure"
    monkeypatch.delenv("PUNIE_OPENAI_URL")
    assert models.main(["list"]) == 0
    assert "no server is named; set openai_url" in capsys.readouterr().out
    assert findings(server)[1].cure.startswith("set openai_url in your settings")
    assert bench.main(["openai:org/big"]) == 1
    assert "is on a server; choose a model." in capsys.readouterr().err
