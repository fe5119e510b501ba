import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.acp.errors import plain_error
from punie.acp.transport import encode
from punie.wire.inlet import LineSplitter
from punie.wire.messages import (
    Notification,
    Request,
    Response,
    WireError,
    parse_line,
    without_meta,
)


def test_the_three_kinds_of_message() -> None:
    request = parse_line(b'{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":1},"extra":2}')
    assert request == Request("a", "m", {"x": 1})
    assert parse_line(b'{"jsonrpc":"2.0","method":"m"}') == Notification("m", {})
    answer = parse_line(b'{"jsonrpc":"2.0","id":3,"result":null,"extra":2}')
    assert answer == Response({"jsonrpc": "2.0", "id": 3, "result": None})


def test_an_error_answer_is_made_sound() -> None:
    answer = parse_line(b'{"jsonrpc":"2.0","id":3,"error":"boom"}')
    assert isinstance(answer, Response)
    assert answer.message is not None
    assert answer.message["error"]["code"] == -32603


def test_a_byte_order_mark_is_no_error() -> None:
    assert parse_line(b'\xef\xbb\xbf{"jsonrpc":"2.0","method":"m"}') == Notification("m", {})


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode()))
def test_any_bytes_become_a_message_or_a_wire_error(line: bytes) -> None:
    with contextlib.suppress(WireError):
        parse_line(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(
    st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0")},
        optional=dict.fromkeys(("id", "method", "params", "result", "error"), json_values),
    )
)
def test_any_envelope_becomes_a_sound_message_or_a_wire_error(value: dict[str, Any]) -> None:
    try:
        message = parse_line(json.dumps(value).encode())
    except WireError:
        return
    match message:
        case Request(request_id, method, params):
            assert request_id is None or isinstance(request_id, str | int | float)
            assert isinstance(method, str)
            assert isinstance(params, dict)
        case Notification(method, params):
            assert isinstance(method, str)
            assert isinstance(params, dict)
        case Response(answer):
            assert answer is None or isinstance(answer["id"], int)


def test_meta_is_taken_out_under_both_of_its_names() -> None:
    params = {"cwd": "/a", "_meta": {"cwd": "/evil"}, "field_meta": {"cwd": "/evil"}}
    assert without_meta(params) == ({"cwd": "/a"}, {"cwd": "/evil"})
    assert without_meta({"_meta": 3}) == ({}, {})


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_lines_do_not_depend_on_the_pieces_they_come_in(data: bytes, cuts: list[int]) -> None:
    splitter = LineSplitter(1000)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    lines = [
        line for begin, end in itertools.pairwise(edges) for line in splitter.feed(data[begin:end])
    ]
    assert lines == data.split(b"\n")[:-1]


def test_a_line_that_is_too_long_is_dropped_alone() -> None:
    splitter = LineSplitter(10)
    assert splitter.feed(b"short\n" + b"x" * 11) == [b"short"]
    assert splitter.feed(b"x" * 100) == []
    assert splitter.feed(b"\nagain\n") == [None, b"again"]


def test_an_outgoing_message_stays_below_the_limit() -> None:
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {"long": "a" * 50_000, "quotes": '"' * 50_000, "short": "kept", "n": [1, "b"]},
    }
    line = encode(message, 20_000)
    assert len(line) <= 20_000
    result = json.loads(line)["result"]
    assert result["short"] == "kept"
    assert result["long"].startswith("aaa")
    assert result["long"].endswith("(cut, too large to show)")


def test_an_answer_of_many_small_parts_becomes_an_error() -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": {"list": list(range(50_000))}}
    assert "error" in json.loads(encode(message, 20_000))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            {"code": -32603, "message": "Internal error", "data": {"details": "secret"}},
            "Something went wrong inside Punie; `punie logs` has the details.",
        ),
        ({"code": -32602, "message": "The prompt is empty.", "data": None}, "The prompt is empty."),
        (
            {"code": -32601, "message": "Method not found", "data": {"method": "x"}},
            "Unknown method: m.",
        ),
        (
            {
                "code": -32602,
                "message": "Invalid params",
                "data": {"errors": [{"type": "missing", "loc": ("cwd",), "input": "secret"}]},
            },
            "m needs cwd.",
        ),
        (
            {
                "code": -32602,
                "message": "Invalid params",
                "data": {"errors": [{"type": "string_type", "loc": ("prompt", 0, "text")}]},
            },
            "m got prompt.0.text of the wrong type.",
        ),
    ],
)
def test_errors_are_one_sentence(error: dict[str, Any], sentence: str) -> None:
    assert plain_error(error, "m") == {"code": error["code"], "message": sentence}
