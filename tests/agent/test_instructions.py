"""The fixed part of every prompt stays small and never changes."""

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from punie.agent.instructions import INSTRUCTIONS
from punie.agent.project_guides import guide_chars
from punie.agent.toolset import tool_definitions
from punie.agent.turn_config import turn_tools
from punie.tools.base import AnyTool
from punie.tools.catalog import ALL_TOOLS
from punie.tools.skills.finding import Skill
from punie.tools.skills.tool import skill_tools
from punie.tools.web_fetch import WEB_FETCH
from punie.workspace.base import Workspace
from tests.assets import TOKENIZER, needs_assets, template

LIMIT = 3_000
SKILLS = [
    Skill(name, text, Path("/skills") / name, cast("Workspace", None), users=True)
    for name, text in (
        ("release", "Makes a release: the version, the change log, the tag and the packages."),
        ("pdf-forms", "Fills in PDF forms, and reads what was filled in, page by page."),
    )
]


@needs_assets
@pytest.mark.parametrize("code_mode", [False, True], ids=["tools", "code mode"])
@pytest.mark.parametrize("name", ["Qwen3-Coder-30B-A3B-Instruct", "Qwen-Qwen3-0.6B"])
def test_first_request_stays_below_its_limit(name: str, code_mode: bool) -> None:
    """With every tool, two skills and web_fetch; a guide comes on top, as large as it is told."""
    more = (WEB_FETCH, *skill_tools(SKILLS))
    tools = turn_tools(more, attended=True, code_mode=code_mode)
    request = rendered(name, tools, "What does this project do?")
    assert INSTRUCTIONS.strip() in request
    for tool in (*ALL_TOOLS, *more):
        assert tool.name in request
    plain = tokens_of(request)
    assert 300 < plain < LIMIT, plain
    guide = (Path(__file__).parents[2] / "docs/context.md").read_text()
    told = guide_chars(600, 32_768)
    assert len(guide) > told
    with_guide = rendered(name, tools, f"{guide[:told]}\n\nWhat does this project do?")
    assert 500 < tokens_of(with_guide) - plain < 700


def rendered(name: str, tools: Sequence[AnyTool], prompt: str) -> str:
    """Return the first request of a session as the template of a model writes it."""
    sandbox = pytest.importorskip("jinja2.sandbox")
    environment = sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    text: str = environment.from_string(template(name)).render(
        messages=[
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": prompt},
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
            for tool in tool_definitions(tools)
        ],
        add_generation_prompt=True,
    )
    return text


@functools.cache
def tokenizer() -> Any:
    return pytest.importorskip("tokenizers").Tokenizer.from_file(str(TOKENIZER))


def tokens_of(text: str) -> int:
    return len(tokenizer().encode(text).ids)


def test_nothing_volatile_in_the_instructions() -> None:
    assert not re.search(r"\b20\d\d\b|/home/|/Users/|\{[a-z_]*\}", INSTRUCTIONS)


def test_tools_named_in_the_instructions_exist() -> None:
    names = {tool.name for tool in ALL_TOOLS}
    assert set(re.findall(r"\b[a-z]+_(?:file|dir|command)\b", INSTRUCTIONS)) <= names
