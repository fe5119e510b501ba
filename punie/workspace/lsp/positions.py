"""Places in a text: as offsets, as we count lines, and as a language server counts them.

We end lines at `\\n` alone and count characters. A language server ends them at `\\r\\n`, `\\n` and
`\\r` and counts the units of the encoding that was agreed on.
"""

import re
from bisect import bisect_right
from typing import Literal, assert_never

Encoding = Literal["utf-8", "utf-16", "utf-32"]
"""What one step along a line is: a byte, a UTF-16 unit or a character."""

ENCODINGS: tuple[Encoding, ...] = ("utf-32", "utf-8", "utf-16")
"""The encodings that we can do, the one that we like best first."""

_LINE_END = re.compile(r"\r\n|\n|\r")
_BOM = "\ufeff"


class SourceText:
    """A text as a language server sees it, its byte order mark included if it sees that."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self.text = text
        self._encoding: Encoding = encoding
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._mark = len(_BOM) if text.startswith(_BOM) else 0

    def server_position(self, line: int, column: int) -> tuple[int, int]:
        """Return the server's line and character of our line (from 1) and column (from 0)."""
        start = self._line_starts[min(line, len(self._line_starts)) - 1]
        offset = min(start + column + (self._mark if line == 1 else 0), len(self.text))
        index = bisect_right(self._starts, offset) - 1
        return index, _units(self.text[self._starts[index] : offset], self._encoding)

    def our_position(self, line: int, character: int) -> tuple[int, int]:
        """Return our line (from 1) and column (from 0) of the server's, within the text."""
        index = min(line, len(self._starts) - 1)
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else len(self.text)
        offset = start + _characters(self.text[start:end], character, self._encoding)
        number = bisect_right(self._line_starts, offset)
        column = offset - self._line_starts[number - 1]
        return number, max(column - self._mark, 0) if number == 1 else column

    def line(self, number: int) -> str:
        """Return our line of that number without its end and the mark, or "" if there is none."""
        if not 1 <= number <= len(self._line_starts):
            return ""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        text = self.text[start:] if end < 0 else self.text[start:end]
        return text.removesuffix("\r").removeprefix(_BOM if number == 1 else "")


def _units(text: str, encoding: Encoding) -> int:
    match encoding:
        case "utf-8":
            return len(text.encode("utf-8", "surrogatepass"))
        case "utf-16":
            return len(text.encode("utf-16-le", "surrogatepass")) // 2
        case "utf-32":
            return len(text)
        case _ as unreachable:
            assert_never(unreachable)


def _characters(text: str, units: int, encoding: Encoding) -> int:
    """Return how many characters the first units of a text are; one that is cut does not count."""
    match encoding:
        case "utf-8":
            return len(text.encode("utf-8", "surrogatepass")[:units].decode("utf-8", "ignore"))
        case "utf-16":
            encoded = text.encode("utf-16-le", "surrogatepass")[: units * 2]
            return len(encoded.decode("utf-16-le", "ignore"))
        case "utf-32":
            return min(units, len(text))
        case _ as unreachable:
            assert_never(unreachable)
