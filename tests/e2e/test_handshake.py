"""What is agreed on before the first session."""

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.client import Client, Refused
from tests.e2e.conftest import Start


def test_the_first_line_is_the_answer_and_nothing_heavy_came_before_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # The modules that were there when the answer was written, as the program itself sees them.
    seen = tmp_path / "modules.json"
    program = tmp_path / "watched.py"
    program.write_text(
        f"""
import json, sys
from punie.acp import outlet, serve
from punie.settings import load_settings

original = outlet.Outlet.write
async def write(self, data):
    with open({str(seen)!r}, "x") as file:
        json.dump(sorted(sys.modules), file)
    outlet.Outlet.write = original
    await original(self, data)
outlet.Outlet.write = write
serve.serve(load_settings())
"""
    )
    with Client(environment, command=[sys.executable, str(program)], arguments=[]) as client:
        client.initialize()
    modules = set(json.loads(seen.read_text()))
    heavy = {
        "pydantic_ai", "mlx", "mlx_lm", "transformers", "numpy", "structlog", "rich", "typer",
        "mcp", "fastmcp", "tree_sitter", "tomlkit",
    }  # fmt: skip
    assert not modules & heavy
    assert not {name for name in modules if name.startswith("punie.agent.turn")}


def test_a_broken_project_file_is_named(start: Start, project: Path) -> None:
    agent = start()
    agent.initialize()
    (project / ".punie").mkdir()
    (project / ".punie" / "settings.toml").write_text("mode = [")
    with pytest.raises(Refused, match=r"settings\.toml"):
        agent.new_session(project)
