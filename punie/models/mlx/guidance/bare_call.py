"""Finds where a model begins a call without its opening marker: `<function=` at a line's start."""

from collections.abc import Sequence
from dataclasses import dataclass

from punie.models.mlx.chat.markup import FUNCTION
from punie.models.mlx.chat.vocabulary import Vocabulary

_BARE = FUNCTION.encode()


@dataclass(frozen=True)
class Start:
    """The token, by its position, in which a bare call begins; not yet `whole` if it only may."""

    position: int
    whole: bool


def find_start(tokens: Sequence[int], watched: int | None, vocabulary: Vocabulary) -> Start | None:
    """Look at the end of a response's answer for the start of a bare call.

    `watched` is the position of an earlier finding that was not yet whole.
    """
    last = len(tokens) - 1
    for position in (last,) if watched is None else (watched, last):
        before, angle, rest = vocabulary.token_bytes(tokens[position]).rpartition(b"<")
        if not angle or not _starts_line(before, tokens, position, vocabulary):
            continue
        following = b"".join(map(vocabulary.token_bytes, tokens[position + 1 :]))
        text = angle + rest + following
        if text.startswith(_BARE):
            return Start(position, True)
        if _BARE.startswith(text):
            return Start(position, False)
    return None


def _starts_line(
    before: bytes, tokens: Sequence[int], position: int, vocabulary: Vocabulary
) -> bool:
    """Tell whether `before`, which begins in a token, ends a line that is blank so far."""
    while True:
        _, newline, line = before.rpartition(b"\n")
        if line.strip():
            return False
        position -= 1
        if newline or position < 0 or tokens[position] in vocabulary.control.values():
            return True
        before = vocabulary.token_bytes(tokens[position])
