"""Sessions and processes end at once, whatever the engine is in the middle of."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import Client, Json
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models
from tests.e2e.engine.test_long_prompts import LONG
from tests.e2e.test_lifecycle import LIMIT, SLACK

Begin = Callable[[Client, Path], None]


def reading_ahead(client: Client, project: Path) -> None:
    client.new_session(project)


def reading(client: Client, project: Path) -> None:
    session = client.new_session(project)
    client.begin_prompt(session, LONG)
    client.wait_update(session, lambda update: "Reading the conv" in str(update.get("content")))


def writing(client: Client, project: Path) -> None:
    session = client.new_session(project)
    client.begin_prompt(session, "Good morning")
    client.wait_update(session, lambda update: update["sessionUpdate"] == "agent_message_chunk")


def writing_together(client: Client, project: Path) -> None:
    sessions = [client.new_session(project) for _ in range(3)]
    for session in sessions:
        client.begin_prompt(session, f"Good morning {session}")
    for session in sessions:
        client.wait_update(session, lambda u: u["sessionUpdate"] == "agent_message_chunk")


@pytest.mark.slow
@pytest.mark.parametrize("begin", [reading_ahead, reading, writing, writing_together])
@pytest.mark.parametrize("number", [None, signal.SIGTERM], ids=["stdin-eof", "sigterm"])
def test_the_process_ends_with_its_client(
    run_model: RunModel,
    models: Models,
    project: Path,
    speaking_at_once: list[str],
    begin: Begin,
    number: signal.Signals | None,
) -> None:
    model = models.random()
    client = run_model(model, program=speaking_at_once, max_tokens=4096, draft_model=model)
    begin(client, project)
    if number is None:
        client.close_stdin()
    else:
        client.process.send_signal(number)
    assert client.wait_exit() < LIMIT + SLACK
    assert client.process.returncode == (0 if number is None else 128 + number)
    assert client.noise == []
    assert client.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["session/close", "session/delete"])
def test_a_session_ends_while_its_prompt_is_read(
    run_model: RunModel,
    models: Models,
    project: Path,
    speaking_at_once: list[str],
    usages: Callable[[str], list[Json]],
    method: str,
) -> None:
    client = run_model(models.random(), program=speaking_at_once, max_tokens=8)
    session, other = client.new_session(project), client.new_session(project)
    request = client.begin_prompt(session, LONG)
    client.wait_update(session, lambda update: "Reading the conv" in str(update.get("content")))
    client.request(method, {"sessionId": session})
    assert client.result(request) == {"stopReason": "cancelled"}
    told = len(client.updates(session))
    assert client.prompt(other, "Good morning") == "max_tokens"
    assert usages(other)[0]["output_tokens"] == 8
    assert len(client.updates(session)) == told
