import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.workspace.lsp.positions import ENCODINGS, Encoding, SourceText

# Line ends of all kinds, characters of one to four bytes, and a mark.
TEXTS = st.lists(st.sampled_from(["a", "é", "€", "😀", "\n", "\r\n", "\r", "\u2028", "\t"])).map(
    "".join
)
encodings = pytest.mark.parametrize("encoding", ENCODINGS)


def places(text: str) -> list[tuple[int, int]]:
    """Return line and column of all characters, as an editor that ends lines at \\n has them."""
    return [
        (number, column)
        for number, line in enumerate(text.split("\n"), start=1)
        for column in range(len(line) + 1)
    ]


@encodings
@given(text=TEXTS, marked=st.booleans())
def test_there_and_back(encoding: Encoding, text: str, marked: bool) -> None:
    source = SourceText(("\ufeff" if marked else "") + text, encoding)
    for line, column in places(text):
        there = source.server_position(line, column)
        assert source.our_position(*there) == (line, column)


@encodings
@given(text=TEXTS, marked=st.booleans())
def test_positions_are_those_of_the_protocol(encoding: Encoding, text: str, marked: bool) -> None:
    whole = ("\ufeff" if marked else "") + text
    source = SourceText(whole, encoding)
    codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[encoding]
    width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    offset = int(marked)
    for number, line in enumerate(text.split("\n"), start=1):
        for column in range(len(line) + 1):
            before = whole[: offset + column]
            if before.endswith("\r") and whole[offset + column :].startswith("\n"):
                continue  # Between the two characters of a line end is no place.
            *ended, last = re.split("\r\n|\n|\r", before)
            expected = len(ended), len(last.encode(codec)) // width
            assert source.server_position(number, column) == expected
        offset += len(line) + 1


@encodings
@given(text=TEXTS, line=st.integers(0, 9), character=st.integers(0, 30))
def test_no_position_is_outside_of_the_text(
    encoding: Encoding, text: str, line: int, character: int
) -> None:
    assert SourceText(text, encoding).our_position(line, character) in places(text)


@given(text=TEXTS, marked=st.booleans())
def test_lines_are_those_that_tools_count(text: str, marked: bool) -> None:
    source = SourceText(("\ufeff" if marked else "") + text, "utf-8")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    assert [source.line(number) for number in range(1, len(lines) + 1)] == lines
    assert source.line(0) == source.line(len(lines) + 1) == ""
