"""Each test drives the installed command in a home of its own."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import schema
from tests.e2e.client import Client

Script = Callable[..., str]
Start = Callable[..., Client]


@pytest.fixture(autouse=True)
def sound_messages() -> Iterator[None]:
    """Check all that clients and agents said to each other in a test."""
    yield
    faults = [
        fault for exchange in Client.exchanges if schema.AVAILABLE for fault in exchange.faults()
    ]
    Client.exchanges[:] = [exchange for exchange in Client.exchanges if exchange.open]
    assert not faults, "\n".join(faults[:5])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A trimmed environment, as an IDE gives it, with everything Punie keeps below tmp_path."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PUNIE_STATE_DIR": str(tmp_path / "state"),
        "PUNIE_CONFIG_DIR": str(tmp_path / "config"),
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text("def greet(name):\n    return 'Hello ' + name\n")
    return folder


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a script for the scripted model; return its reference."""

    def write(*responses: dict[str, Any], name: str = "script.json", repeat: bool = False) -> str:
        path = tmp_path / name
        path.write_text(json.dumps({"responses": responses, "repeat": repeat}))
        return f"scripted:{path}"

    return write


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start an agent with the given model; every process is ended after the test."""
    with ExitStack() as stack:

        def run(model: str | None = None, **options: Any) -> Client:
            extra = options.pop("environment", {})
            variables = {**environment, **extra}
            if model is not None:
                variables["PUNIE_MODEL"] = model
            return stack.enter_context(Client(variables, **options))

        yield run
