"""What is agreed on before the first session."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.client import Client, Refused
from tests.e2e.conftest import Script, Start


@pytest.fixture
def watched(environment: dict[str, str], tmp_path: Path) -> Callable[[str], "Watched"]:
    """Return how to serve in a process that tells what it has imported when it writes a text."""

    def start(text: str, **settings: str) -> Watched:
        seen = tmp_path / "modules.json"
        program = tmp_path / "watched.py"
        program.write_text(
            f"""
import json, pathlib, sys
sys.modules["httpx"] = None  # only the tests' environment has it; pydantic-ai takes it if it can
from punie.acp import serve
from punie.settings import load_settings
from punie.wire import outlet

original = outlet.PipeOutlet.write
async def write(self, data):
    if {text.encode()!r} in data:
        pathlib.Path({str(seen)!r}).write_text(json.dumps(sorted(sys.modules)))
        outlet.PipeOutlet.write = original
    await original(self, data)
outlet.PipeOutlet.write = write
serve.serve(load_settings())
"""
        )
        command = [sys.executable, str(program)]
        return Watched(Client({**environment, **settings}, command=command, arguments=[]), seen)

    return start


@dataclass
class Watched:
    """A client, and where its agent tells the modules that it has imported."""

    client: Client
    seen: Path

    def modules(self) -> set[str]:
        return set(json.loads(self.seen.read_text()))


def test_the_first_line_is_the_answer_and_nothing_heavy_came_before_it(
    watched: Callable[..., Watched],
) -> None:
    # The modules that were there when the answer was written, as the program itself sees them.
    agent = watched("")
    with agent.client as client:
        client.initialize()
    modules = agent.modules()
    heavy = {
        "pydantic_ai", "mlx", "mlx_lm", "transformers", "numpy", "structlog", "rich", "typer",
        "mcp", "fastmcp", "tree_sitter", "tomlkit",
    }  # fmt: skip
    assert not modules & heavy
    late = ("punie.agent.turn", "punie.workspace.local", "punie.tools.skills")
    assert not {name for name in modules if name.startswith(late)}


def test_a_first_prompt_imports_nothing_that_only_some_tool_needs(
    watched: Callable[..., Watched], project: Path, script: Script
) -> None:
    look = {"tool": "read_file", "arguments": {"path": "src/app.py"}}
    model = script({"calls": [look]}, {"text": "Done."})
    agent = watched('"stopReason"', PUNIE_MODEL=model)
    with agent.client as client:
        client.initialize()
        assert client.prompt(client.new_session(project)) == "end_turn"
    unused = {
        "libcst", "bs4", "markdownify", "pydantic_monty", "fastmcp", "mcp", "jsonschema", "mlx",
        "numpy", "transformers", "tokenizers", "jinja2", "huggingface_hub", "lsprotocol",
        "tree_sitter", "tomlkit", "rich", "typer",
    }  # fmt: skip
    assert sorted(agent.modules() & unused) == []


def test_a_broken_project_file_is_named(start: Start, project: Path) -> None:
    agent = start()
    agent.initialize()
    (project / ".punie").mkdir()
    (project / ".punie" / "settings.toml").write_text("mode = [")
    with pytest.raises(Refused, match=r"settings\.toml"):
        agent.new_session(project)
