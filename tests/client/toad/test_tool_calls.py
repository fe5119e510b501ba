"""Pieces of tool calls put together, as the wire writes them."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.client.toad import KnownCalls, ToolCallData, handle_tool_update
from punie.client.toad.tool_calls import call_data

TEXT = {"type": "content", "content": {"type": "text", "text": "12 lines"}}
START = {
    "sessionUpdate": "tool_call",
    "toolCallId": "call_1",
    "title": "Read app.py",
    "kind": "read",
    "status": "pending",
    "locations": [{"path": "/srv/app.py"}],
    "rawInput": {"path": "app.py"},
}


@pytest.mark.anyio
async def test_the_callback_is_told_what_the_wire_says_under_its_own_names() -> None:
    told: list[tuple[str, ToolCallData]] = []
    assert await handle_tool_update(START, lambda *call: told.append(call))
    assert told == [
        (
            "call_1",
            {
                "title": "Read app.py",
                "kind": "read",
                "status": "pending",
                "content": [],
                "locations": [{"path": "/srv/app.py"}],
                "raw_input": {"path": "app.py"},
                "raw_output": None,
            },
        )
    ]


@pytest.mark.anyio
async def test_pieces_are_put_together_and_an_async_callback_is_waited_for() -> None:
    told: list[ToolCallData] = []

    async def take(call_id: str, data: ToolCallData) -> None:
        told.append(data)

    known = KnownCalls()
    piece: dict[str, Any] = {"sessionUpdate": "tool_call_update", "toolCallId": "call_1"}
    await handle_tool_update(START, take, known)
    await handle_tool_update({**piece, "status": "in_progress", "title": None}, take, known)
    end = {**piece, "status": "completed", "content": [TEXT], "rawOutput": 12}
    await handle_tool_update(end, take, known)
    assert [data["status"] for data in told] == ["pending", "in_progress", "completed"]
    assert {data["title"] for data in told} == {"Read app.py"}
    assert told[-1]["content"] == [TEXT]
    assert told[-1]["raw_output"] == 12
    assert told[-1]["raw_input"] == {"path": "app.py"}
    assert told[0]["content"] == []


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["plan", "agent_message_chunk", None])
async def test_other_updates_are_none_of_its_business(kind: str | None) -> None:
    assert not await handle_tool_update({"sessionUpdate": kind}, lambda *_: pytest.fail("told"))


FIELDS: Mapping[str, str] = {
    "title": "title",
    "kind": "kind",
    "status": "status",
    "rawInput": "raw_input",
    "rawOutput": "raw_output",
}
PIECES = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.dictionaries(st.sampled_from(list(FIELDS)), st.text(max_size=3) | st.none()),
    )
)


@given(PIECES)
def test_the_last_word_on_each_thing_counts(pieces: list[tuple[str, dict[str, Any]]]) -> None:
    known = KnownCalls()
    shown: dict[str, dict[str, Any]] = {}
    expected: dict[str, dict[str, Any]] = {}
    for call_id, piece in pieces:
        shown[call_id] = dict(call_data(known.merged({"toolCallId": call_id, **piece})))
        said = expected.setdefault(call_id, dict.fromkeys(FIELDS.values()))
        said.update({FIELDS[key]: value for key, value in piece.items() if value is not None})
    for call_id, said in expected.items():
        assert {**shown[call_id], **said} == shown[call_id]


def test_ended_calls_are_forgotten_and_others_not() -> None:
    known = KnownCalls()
    known.merged(START)
    known.merged({**START, "toolCallId": "call_2", "status": "completed"})
    known.drop_ended()
    assert known.merged({"toolCallId": "call_1"})["title"] == "Read app.py"
    assert known.merged({"toolCallId": "call_2"}) == {"toolCallId": "call_2"}
