"""Names of servers and tools for a model."""

import re

from hypothesis import given
from hypothesis import strategies as st

from punie.tools.mcp.naming import LONGEST_NAME, server_slugs, tool_names

NAMES = st.lists(st.text(max_size=80) | st.from_regex(r"[a-z_.\- ]{1,80}", fullmatch=True))


@given(servers=NAMES, tools=st.lists(st.text(max_size=80), max_size=8, unique=True))
def test_names_are_valid_unique_and_tell_the_server(servers: list[str], tools: list[str]) -> None:
    slugs = server_slugs(servers)
    assert len(set(slugs)) == len(servers)
    names: set[str] = set()
    for slug in slugs:
        named = tool_names(slug, tools)
        assert list(named) == tools
        for name in named.values():
            assert re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}", name)
            assert name.removeprefix("mcp__").partition("__")[0] == slug
        names.update(named.values())
    assert len(names) == len(servers) * len(tools)


@given(tools=st.lists(st.text(max_size=60), max_size=8, unique=True))
def test_an_unchanged_name_is_the_same_whatever_else_is_offered(tools: list[str]) -> None:
    assert tool_names("s", ["search_symbol", *tools])["search_symbol"] == "mcp__s__search_symbol"
    assert tool_names("s", [*tools, "search_symbol"])["search_symbol"] == "mcp__s__search_symbol"


def test_readable_names_stay_readable() -> None:
    assert server_slugs(["idea", "My Server", "日本", "idea", "a" * 40]) == [
        "idea",
        "My_Server",
        "server",
        "idea-2",
        "a" * 20,
    ]
    assert tool_names("x", ["a.b", "a_b"])["a_b"] == "mcp__x__a_b"
    assert tool_names("x", ["a.b", "a_b"])["a.b"].startswith("mcp__x__a_b-")
