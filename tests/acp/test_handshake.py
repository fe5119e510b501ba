"""What a client says of itself becomes its profile, whatever else it sends."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.acp.handshake import ClientProfile, initialize_response, read_profile

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "fs",
                    "terminal",
                    "session",
                    "configOptions",
                    "boolean",
                    "notices",
                    "name",
                    "title",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_capabilities_are_read_from_what_was_sent() -> None:
    profile = read_profile(
        {
            "clientInfo": {"name": "zed", "version": "1"},
            "clientCapabilities": {
                "fs": {"readTextFile": True, "writeTextFile": True},
                "terminal": True,
                "session": {
                    "configOptions": {"boolean": {}},
                    "notices": {},
                    "compaction": {"x": 1},
                },
                "elicitation": {"form": {}},
            },
        }
    )
    assert profile == ClientProfile(
        name="zed",
        reads_files=True,
        writes_files=True,
        terminals=True,
        elicitation_forms=True,
        boolean_options=True,
        notices=True,
        compaction=True,
    )


def test_what_is_null_or_absent_is_not_offered() -> None:
    capabilities = {
        "fs": {"readTextFile": False},
        "session": {"configOptions": {}, "notices": None},
        "elicitation": {},
    }
    assert read_profile({"clientCapabilities": capabilities}) == ClientProfile()


def test_a_client_can_say_that_nobody_answers() -> None:
    capabilities = {"_meta": {"punie.unattended": True}}
    assert not read_profile({"clientCapabilities": capabilities}).attended
    assert read_profile({}) == ClientProfile()


@pytest.mark.parametrize(
    ("info", "options"),
    [
        ({"title": "WebStorm 2026.1.2", "version": "2026.1.2"}, False),
        ({"title": "PyCharm 2026.1", "version": "PY-261.22158.277"}, False),
        ({"version": "2026.1"}, False),
        ({"title": "PyCharm 2026.2.1", "version": "2026.2.1"}, True),
        ({"title": "PyCharm 2025.3.2", "version": "2025.3"}, True),
        ({"version": "12026.1"}, True),
        ({}, True),
    ],
)
def test_an_ide_that_stumbles_over_options_gets_none(info: dict[str, Any], options: bool) -> None:
    profile = read_profile({"clientInfo": {"name": "JetBrains.PyCharm", **info}})
    assert profile.jetbrains
    assert profile.echoes
    assert profile.config_options is options
    # The same numbers of somebody else's program mean nothing.
    assert read_profile({"clientInfo": {"name": "zed", **info}}).config_options


@given(st.dictionaries(st.sampled_from(["clientInfo", "clientCapabilities", "x"]), JSON))
def test_no_words_of_a_client_are_too_strange(params: dict[str, Any]) -> None:
    response = initialize_response(read_profile(params))
    assert response.protocol_version == 1
