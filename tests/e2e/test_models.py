"""A model that cannot be used is told in the chat, and can be cured while the process runs."""

from pathlib import Path

from tests.e2e.conftest import Script, Start


def test_a_missing_model_is_told_in_the_chat_and_can_be_replaced(
    start: Start, script: Script, project: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "no-such-model"
    client = start(str(missing))
    client.initialize()
    result = client.request("session/new", {"cwd": str(project), "mcpServers": []})
    session = result["sessionId"]
    model = result["configOptions"][1]
    assert model["currentValue"] in [option["value"] for option in model["options"]]
    assert client.prompt(session) == "end_turn"
    sentence = client.text(session)
    assert str(missing) in sentence
    assert sentence.count(".") >= 1
    assert "Traceback" not in sentence
    # It can be cured while the process runs: here the script appears that was missing.
    assert client.prompt(session) == "end_turn"
    assert client.initialize()["protocolVersion"] == 1


def test_a_model_that_appears_later_is_found(
    start: Start, script: Script, project: Path, tmp_path: Path
) -> None:
    path = tmp_path / "later.json"
    client = start(f"scripted:{path}")
    client.initialize()
    session = client.new_session(project)
    client.prompt(session)
    assert str(path) in client.text(session)
    script({"text": "Unused."}, {"text": "Now I am here."}, name="later.json")
    script({"text": "Now I am here."}, name="later.json")
    client.prompt(session)
    assert client.text(session).endswith("Now I am here.")


def test_a_broken_model_is_told_in_the_chat(start: Start, project: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{")
    client = start(f"scripted:{path}")
    client.initialize()
    session = client.new_session(project)
    assert client.prompt(session) == "end_turn"
    assert str(path) in client.text(session)
    assert client.text(session).strip().count("\n") == 0
