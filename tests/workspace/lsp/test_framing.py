from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.workspace.lsp.framing import MAX_MESSAGE_BYTES, FramingError, MessageStream, framed

MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3))


@given(MESSAGES, st.lists(st.integers(0, 400), max_size=12))
def test_messages_come_out_however_their_bytes_are_cut(
    messages: list[dict[str, str]], cuts: list[int]
) -> None:
    data = b"".join(map(framed, messages))
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    stream = MessageStream()
    found = [each for start, end in pairwise(places) for each in stream.feed(data[start:end])]
    assert found == [{"jsonrpc": "2.0", **message} for message in messages]


def test_other_headers_and_spellings_are_read() -> None:
    data = b"content-length:  2 \r\nContent-Type: x\r\n\r\n{}"
    assert list(MessageStream().feed(data)) == [{}]


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: x\r\n\r\n{}",
        b"Content-Length: -1\r\n\r\n{}",
        b"Content-Length: %d\r\n\r\n" % (MAX_MESSAGE_BYTES + 1),
        b"Content-Length: 2\r\n\r\n[]",
        b"Content-Length: 2\r\n\r\n{{",
        b"thread 'main' panicked " * 1_000,
    ],
)
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    with pytest.raises(FramingError):
        list(MessageStream().feed(data))
