"""Cursors are ours alone."""

from pathlib import Path

import pytest
from acp import RequestError
from hypothesis import given
from hypothesis import strategies as st

from punie.acp.history import SavedHistory
from punie.acp.listing import PAGE_SIZE, _cursor, _position, list_page
from punie.sessions.store import SessionStore


@given(st.floats(min_value=0, max_value=4e9), st.integers(1, 2**62))
def test_a_cursor_comes_back_exactly(updated: float, number: int) -> None:
    assert _position(_cursor((updated, number))) == (updated, number)


@given(st.text(max_size=40))
def test_other_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(RequestError, match="cursor"):
        _position(cursor)


@pytest.mark.parametrize("inner", ["[1.5, 0]", "[NaN, true]", "[1, 2]", "{}", "[1.0, 1e400]", "1"])
def test_cursors_that_only_look_like_ours_are_refused(inner: str) -> None:
    import base64

    with pytest.raises(RequestError, match="cursor"):
        _position(base64.urlsafe_b64encode(inner.encode()).decode())


@pytest.mark.anyio
async def test_pages_hold_every_session_once(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    store = SessionStore(path)
    number = 2 * PAGE_SIZE + 7
    for index in range(number):
        await store.create(f"s{index}", "/here" if index % 2 else "/there", {})
        await store.append(f"s{index}", "user_message", "{}")
    await store.create("unused", "/here", {})
    history = SavedHistory(path)
    seen: list[str] = []
    cursor = None
    while True:
        page = await list_page(history, None, cursor, ())
        assert 0 < len(page.sessions) <= PAGE_SIZE
        seen += [info.session_id for info in page.sessions]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"s{index}" for index in reversed(range(number))]
    here = await list_page(history, "/here", None, {"unused"})
    assert here.sessions[0].session_id == "unused"
    assert {info.cwd for info in here.sessions} == {"/here"}
    assert (await list_page(history, "/her", None, ())).sessions == []
    await history.close()
    await store.close()
