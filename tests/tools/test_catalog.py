import json
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer

from punie.tools.catalog import ALL_TOOLS
from punie.tools.parameters import argument_schema
from tests.assets import TOKENIZER, needs_assets
from tests.tools.conftest import Bench, tool_named

MAX_TOKENS = 2_700
MAX_CHARS = 11_000


def _rendered() -> str:
    """Return the tools as a chat template shows them: one line of JSON each."""
    return "\n".join(
        json.dumps(
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": argument_schema(tool.arguments),
                },
            }
        )
        for tool in ALL_TOOLS
    )


def test_names_and_effects() -> None:
    assert {tool.name: tool.effect for tool in ALL_TOOLS} == {
        "read_file": "read",
        "list_dir": "read",
        "search": "read",
        "edit_file": "edit",
        "write_file": "edit",
        "run_command": "execute",
        "git": "read",
        "validate": "read",
        "update_plan": "read",
        "ask_user": "read",
    }


def test_schemas_are_short() -> None:
    assert len(_rendered()) < MAX_CHARS


@needs_assets
def test_schemas_are_short_in_tokens() -> None:
    assert len(Tokenizer.from_file(str(TOKENIZER)).encode(_rendered()).ids) < MAX_TOKENS


def test_every_argument_is_described() -> None:
    for tool in ALL_TOOLS:
        assert tool.description
        for name, field in tool.arguments.model_fields.items():
            assert field.description or name in ("path", "command") or name in tool.description


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read_file", {}),
        ("read_file", {"path": "a", "lines": 3}),
        ("edit_file", {"path": "a", "edits": [{"old_text": "a"}]}),
        ("edit_file", {"path": "a", "edits": "a"}),
        ("run_command", {"command": "a", "timeout": "soon"}),
    ],
)
def test_wrong_arguments_are_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        tool_named(name).arguments.model_validate(arguments)


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "~/x", "out/secret"])
async def test_no_tool_leaves_the_workspace(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    (bench.root / "out").symlink_to(outside)
    calls: dict[str, dict[str, Any]] = {
        "read_file": {},
        "list_dir": {},
        "search": {"pattern": "secret"},
        "edit_file": {"edits": [{"old_text": "secret", "new_text": "x"}]},
        "write_file": {"content": "x"},
    }
    for name, arguments in calls.items():
        text = await bench.text(name, path=path, **arguments)
        assert text.startswith(f"error: {path} ")
        assert "workspace" in text
        assert "\n" not in text
    assert (outside / "secret").read_text() == "secret"
    assert [entry.name for entry in outside.iterdir()] == ["secret"]
