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


def test_rules_can_speak_of_every_path() -> None:
    """What only names files, and never what is in them, needs no rule."""
    named = {"path", "paths", "patch", "command"}
    without = {
        tool.name
        for tool in ALL_TOOLS
        if named & set(tool.arguments.model_fields) and tool.subject is None
    }
    assert without == {"list_dir", "find_files"}


def test_names_and_effects() -> None:
    assert {tool.name: tool.effect for tool in ALL_TOOLS} == {
        "read_file": "read",
        "list_dir": "read",
        "find_files": "read",
        "search": "read",
        "explore": "read",
        "edit_file": "edit",
        "apply_patch": "edit",
        "write_file": "edit",
        "move": "edit",
        "delete": "edit",
        "run_command": "execute",
        "git": "read",
        "symbols": "read",
        "definition": "read",
        "references": "read",
        "hover": "read",
        "run_tests": "execute",
        "rename_symbol": "edit",
        "find_pattern": "read",
        "add_import": "edit",
        "check_types": "read",
        "lint": "edit",
        "format": "edit",
        "validate": "read",
        "command_output": "execute",
        "update_plan": "read",
        "ask_user": "read",
    }


def test_schemas_are_short() -> None:
    assert len(_rendered()) < MAX_CHARS


@needs_assets
def test_schemas_are_short_in_tokens() -> None:
    assert len(Tokenizer.from_file(str(TOKENIZER)).encode(_rendered()).ids) < MAX_TOKENS


def test_every_tool_is_described() -> None:
    for tool in ALL_TOOLS:
        assert tool.description.endswith(".")


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
    bench.file("mine", "mine")
    calls: dict[str, dict[str, Any]] = {
        "read_file": {},
        "list_dir": {},
        "find_files": {"pattern": "secret"},
        "search": {"pattern": "secret"},
        "edit_file": {"edits": [{"old_text": "secret", "new_text": "x"}]},
        "write_file": {"content": "x"},
        "move": {"to": "here"},
        "delete": {},
    }
    for name, arguments in calls.items():
        text = await bench.text(name, path=path, **arguments)
        assert text.startswith(f"error: {path} ")
        assert "workspace" in text
        assert "\n" not in text
    text = await bench.text("move", path="mine", to=path)
    assert text.startswith(f"error: {path} ")
    assert "workspace" in text
    for patch in (
        f"*** Begin Patch\n*** Add File: {path}\n+x\n*** End Patch",
        f"*** Begin Patch\n*** Delete File: {path}\n*** End Patch",
        f"*** Begin Patch\n*** Update File: mine\n*** Move to: {path}\n*** End Patch",
        f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-secret\n+x\n",
    ):
        text = await bench.text("apply_patch", patch=patch)
        assert text.startswith("error: ")
        assert "workspace" in text
    assert (bench.root / "mine").read_text() == "mine"
    assert (outside / "secret").read_text() == "secret"
    assert [entry.name for entry in outside.iterdir()] == ["secret"]
