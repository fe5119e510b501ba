"""The fixed part of every prompt stays small and never changes."""

import json
import re

import pytest

from punie.agent.instructions import INSTRUCTIONS
from punie.agent.toolset import tool_definitions
from punie.agent.turn_config import turn_tools
from punie.tools.catalog import ALL_TOOLS
from tests.assets import TOKENIZER, needs_assets, template

LIMIT = 3_000


@needs_assets
@pytest.mark.parametrize("code_mode", [False, True], ids=["tools", "code mode"])
@pytest.mark.parametrize("name", ["Qwen3-Coder-30B-A3B-Instruct", "Qwen-Qwen3-0.6B"])
def test_first_request_stays_below_its_limit(name: str, code_mode: bool) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    sandbox = pytest.importorskip("jinja2.sandbox")
    environment = sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    rendered = environment.from_string(template(name)).render(
        messages=[
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": "What does this project do?"},
        ],
        tools=[
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters_json_schema,
                },
            }
            for tool in tool_definitions(turn_tools((), attended=True, code_mode=code_mode))
        ],
        add_generation_prompt=True,
    )
    tokens = len(tokenizers.Tokenizer.from_file(str(TOKENIZER)).encode(rendered).ids)
    assert INSTRUCTIONS.strip() in rendered
    for tool in ALL_TOOLS:
        assert tool.name in rendered
    assert 300 < tokens < LIMIT, tokens


def test_nothing_volatile_in_the_instructions() -> None:
    assert not re.search(r"\b20\d\d\b|/home/|/Users/|\{[a-z_]*\}", INSTRUCTIONS)


def test_tools_named_in_the_instructions_exist() -> None:
    names = {tool.name for tool in ALL_TOOLS}
    assert set(re.findall(r"\b[a-z]+_(?:file|dir|command)\b", INSTRUCTIONS)) <= names
