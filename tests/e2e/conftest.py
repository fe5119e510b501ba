"""Each test drives the installed command in a home of its own, or in that of its file."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import schema
from tests.e2e.client import Client
from tests.e2e.shared import SharedAgent

Script = Callable[..., str]
Start = Callable[..., Client]

TEST_OF_THE_PROJECT = (
    "from app import greet\n\n\ndef test_greet():\n    assert greet('Ada') == 'Hello Ada'\n"
)


@pytest.fixture(autouse=True)
def sound_messages() -> Iterator[None]:
    """Check all that clients and agents said to each other in a test."""
    yield
    faults = [
        fault for exchange in Client.exchanges if schema.AVAILABLE for fault in exchange.faults()
    ]
    Client.exchanges[:] = [exchange for exchange in Client.exchanges if exchange.open]
    assert not faults, "\n".join(faults[:5])


def trimmed_environment(folder: Path) -> dict[str, str]:
    """Return an environment as an IDE gives it, with everything Punie keeps below `folder`."""
    home = folder / "home"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PUNIE_STATE_DIR": str(folder / "state"),
        "PUNIE_CONFIG_DIR": str(folder / "config"),
    }


@pytest.fixture(scope="module")
def shared_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedAgent]:
    with ExitStack() as stack:
        yield SharedAgent(trimmed_environment(tmp_path_factory.mktemp("shared")), stack)


@pytest.fixture
def lent_agent(request: pytest.FixtureRequest) -> Iterator[SharedAgent | None]:
    """The agent of the test's file, if it has one."""
    if request.node.get_closest_marker("shared_agent") is None:
        yield None
        return
    agent: SharedAgent = request.getfixturevalue("shared_agent")
    with agent.one_test():
        yield agent


@pytest.fixture
def environment(tmp_path: Path, lent_agent: SharedAgent | None) -> dict[str, str]:
    """The variables of every process of a test."""
    if lent_agent is not None:
        return dict(lent_agent.environment)
    return trimmed_environment(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text("def greet(name):\n    return 'Hello ' + name\n")
    return folder


@pytest.fixture
def tested(project: Path) -> Path:
    """The project with a test and a Python of its own."""
    (project / "test_app.py").write_text(TEST_OF_THE_PROJECT)
    python = project / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    version = "{}.{}".format(*sys.version_info)
    (project / f".venv/lib/python{version}/site-packages").mkdir(parents=True)
    (project / ".venv/pyvenv.cfg").write_text(
        f"home = {sys.base_prefix}/bin\nversion = {version}\n"
    )
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return project


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a script for the scripted model; return its reference."""

    def write(*responses: dict[str, Any], name: str = "script.json", repeat: bool = False) -> str:
        path = tmp_path / name
        path.write_text(json.dumps({"responses": responses, "repeat": repeat}))
        return f"scripted:{path}"

    return write


@pytest.fixture
def start(environment: dict[str, str], lent_agent: SharedAgent | None) -> Iterator[Start]:
    """Start an agent with the given model; every process of the test is ended after it."""
    with ExitStack() as stack:

        def run(model: str | None = None, **options: Any) -> Client:
            variables = {**environment, **options.pop("environment", {})}
            if model is not None:
                variables["PUNIE_MODEL"] = model
            lent = None if lent_agent is None else lent_agent.lend(variables, **options)
            return lent or stack.enter_context(Client(variables, **options))

        yield run
