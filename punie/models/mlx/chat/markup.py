"""The markers around calls and thoughts: control tokens where the model has them, else text.

Inside a parser text is a string and a control token is a lone surrogate in it, a character that
decoded text never has. So ordinary text that spells a marker is no marker.
"""

import re
from collections.abc import Collection

from punie.models.mlx.chat.vocabulary import ControlToken, Piece

OPEN_CALL = "<tool_call>"
CLOSE_CALL = "</tool_call>"
OPEN_THOUGHT = "<think>"
CLOSE_THOUGHT = "</think>"
FUNCTION = "<function="

MARK = re.compile("[\ud800-\udfff]")
"""Any control token, as a character of a parser's text."""

_FIRST_MARK = 0xD800
_LAST_MARK = 0xDFFF


class Markers:
    """How a parser's text says where calls and thoughts begin and end.

    `control` names the markers that arrive as control tokens; the others are looked for in the
    text.
    """

    def __init__(self, control: Collection[str] = ()) -> None:
        self._marks: dict[str, str] = {}
        self._literals: dict[str, str] = {}
        self.open_call, self.close_call, self.open_thought, self.close_thought = (
            self._mark(literal) if literal in control else literal
            for literal in (OPEN_CALL, CLOSE_CALL, OPEN_THOUGHT, CLOSE_THOUGHT)
        )

    def write(self, piece: Piece) -> str:
        """Return a piece of output as text with marks."""
        if isinstance(piece, ControlToken):
            return self._mark(piece.literal)
        return piece if piece.isascii() else MARK.sub("\ufffd", piece)

    def read(self, text: str) -> str:
        """Return text with the names of its control tokens in place of their marks."""
        if text.isascii():
            return text
        return MARK.sub(lambda match: self._literals[match.group()], text)

    def _mark(self, literal: str) -> str:
        mark = self._marks.get(literal)
        if mark is None:
            if len(self._marks) > _LAST_MARK - _FIRST_MARK:
                return literal  # No model has so many; as text it is at least not lost.
            mark = self._marks[literal] = chr(_FIRST_MARK + len(self._marks))
            self._literals[mark] = literal
        return mark


def is_mark(marker: str) -> bool:
    """Tell whether a marker is a control token rather than text."""
    return len(marker) == 1
