import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.acp.commands.runs import RUNS
from punie.acp.commands.table import COMMANDS, CommandCall, command_call, unknown_command
from punie.agent.events import PromptBlock, PromptLink, PromptText

PAGE = Path(__file__).parents[2] / "docs/commands.md"


def call(*texts: str) -> CommandCall | None:
    return command_call([PromptText(text=text) for text in texts])


def test_every_command_does_something() -> None:
    assert list(RUNS) == [command.name for command in COMMANDS]


def test_the_page_lists_the_commands() -> None:
    rows = re.findall(r"^\| `/([a-z]+)(?: ([^`]+))?` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(command.name, command.hint, command.description) for command in COMMANDS]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/help", CommandCall("help", "")),
        ("  /undo   2 \n", CommandCall("undo", "2")),
        ("/export notes/a b.md", CommandCall("export", "notes/a b.md")),
        ("/plan\nclear", CommandCall("plan", "clear")),
        ("/my-own_2 x", CommandCall("my-own_2", "x")),
        ("/mcp", CommandCall("mcp", "")),
        ("/usr/bin/env", None),
        ("/app.py", None),
        ("/help/", None),
        ("/help?", None),
        ("/2", None),
        ("/", None),
        ("", None),
        ("Please /help", None),
    ],
)
def test_commands_are_told_by_their_shape(text: str, found: CommandCall | None) -> None:
    assert call(text) == found


def test_the_first_text_counts() -> None:
    link = PromptLink(uri="file:///a.py", name="a.py")
    blocks: list[PromptBlock] = [link, PromptText(text="/undo"), PromptText(text="/help")]
    assert command_call(blocks) == CommandCall("undo", "")
    assert command_call([link]) is None
    assert call("look", "/undo") is None


@given(st.lists(st.text("abz09._- ", min_size=1), min_size=2, max_size=5))
def test_absolute_paths_are_never_commands(parts: list[str]) -> None:
    text = "/" + "/".join(parts)
    name = text[1:].split()[0] if text[1:].split() else ""
    if "/" in name or not name:
        assert call(text) is None


def test_a_long_unknown_name_is_cut() -> None:
    assert len(unknown_command("x" * 5_000)) < 150
