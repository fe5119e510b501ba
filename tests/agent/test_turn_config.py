import pytest

from punie.agent.turn_config import web_tools
from punie.settings import Settings
from punie.tools.web_fetch import WEB_FETCH, WEB_FETCH_PRIVATE


@pytest.mark.parametrize(
    ("values", "tools"),
    [
        ({}, ()),
        ({"web_fetch_private": True}, ()),
        ({"web_fetch": True}, (WEB_FETCH,)),
        ({"web_fetch": True, "web_fetch_private": True}, (WEB_FETCH_PRIVATE,)),
    ],
)
def test_the_web_is_only_offered_where_the_user_wants_it(
    values: dict[str, bool], tools: tuple[object, ...]
) -> None:
    assert web_tools(Settings(**values)) == tools
