"""docs/tools.md says what the code does."""

import pytest

from punie.agent import tool_page
from punie.tools.base import AnyTool
from punie.tools.catalog import ALL_TOOLS
from punie.tools.web_fetch import WEB_FETCH

FRESH = f"docs/tools.md is not what the tools are now; run `{tool_page.COMMAND}` and commit it"


def test_the_page_is_up_to_date() -> None:
    assert tool_page.PAGE.read_text(encoding="utf-8") == tool_page.page(), FRESH


@pytest.mark.parametrize("tool", [*ALL_TOOLS, WEB_FETCH], ids=lambda tool: tool.name)
def test_every_argument_is_explained(tool: AnyTool) -> None:
    silent = [name for name, _, _, meaning in tool_page.arguments(tool) if not meaning]
    assert not silent, f"write a string below the fields {silent} of {tool.name}"


def test_arguments_are_told_with_type_and_default() -> None:
    rows = {
        (tool.name, name): (kind, default)
        for tool in ALL_TOOLS
        for name, kind, default, _ in tool_page.arguments(tool)
    }
    assert rows["read_file", "path"] == ("`str`", "")
    assert rows["read_file", "start_line"] == ("`int`", "none")
    assert rows["search", "regex"] == ("`bool`", "`false`")
    assert rows["edit_file", "edits[].old_text"] == ("`str`", "")
    assert rows["update_plan", "steps[].content"] == ("`str`", "")
