"""Reading some lines of a file of any size, without ever holding more than those."""

from typing import IO

from punie.workspace.base import LineRange, MissingFileError, NotTextError, WorkspaceError
from punie.workspace.beneath import HeldPath
from punie.workspace.file_kinds import HEAD_BYTES, kind_of
from punie.workspace.text_files import (
    BOM,
    missing_sentence,
    not_text,
    open_regular,
    reason,
    refuse_utf16,
)

_CHUNK_BYTES = 1 << 20


def read_line_range(
    at: HeldPath, shown: str, first: int, last: int | None, limit: int
) -> LineRange:
    """Read lines `first` to `last` (1-based, both included, None for the end) of the file there.

    Stops when `limit` bytes have been kept. Raises `WorkspaceError` if the file is missing, no
    file, or if what was passed on the way is not UTF-8 text.
    """
    try:
        with open_regular(at, shown) as (file, _):
            return _read(file, shown, first, last, limit)
    except FileNotFoundError as error:
        raise MissingFileError(missing_sentence(at.path, shown, "file")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be read: {reason(error)}") from error


def _read(file: IO[bytes], shown: str, first: int, last: int | None, limit: int) -> LineRange:
    head = file.read(HEAD_BYTES)
    refuse_utf16(head, shown)
    file.seek(len(BOM) if head.startswith(BOM) else 0)
    skip = first - 1
    wanted = None if last is None else last - first + 1
    passed = 0  # line ends before `kept`
    kept = bytearray()
    ended = open_ended = False
    while True:
        position = file.tell()
        chunk = file.read(_CHUNK_BYTES)
        if not chunk:
            ended = True
            break
        open_ended = not chunk.endswith(b"\n")
        zero = chunk.find(b"\0")
        if zero >= 0:
            raise not_text(shown, kind_of(head), f"NUL byte at offset {position + zero}")
        begin = 0
        if passed < skip:
            ends = chunk.count(b"\n")
            if passed + ends < skip:
                passed += ends
                continue
            while passed < skip:
                begin = chunk.index(b"\n", begin) + 1
                passed += 1
        kept += chunk[begin:]
        if len(kept) > limit or (wanted is not None and kept.count(b"\n") >= wanted):
            break
    if ended and not kept:
        # A last line without an end was passed too.
        return LineRange((), first, passed + (open_ended and passed < skip))
    return _range(kept, shown, first, wanted, limit, passed=passed, ended=ended)


def _range(
    kept: bytearray,
    shown: str,
    first: int,
    wanted: int | None,
    limit: int,
    *,
    passed: int,
    ended: bool,
) -> LineRange:
    rows = bytes(kept).split(b"\n")
    partial = rows.pop()
    if ended and partial:
        rows.append(partial)
    total = passed + len(rows) if ended else None
    lines: list[str] = []
    used = 0
    for row in rows if wanted is None else rows[:wanted]:
        used += len(row) + 1
        if used > limit and lines:
            return LineRange(tuple(lines), first, total)
        lines.append(_text(row, limit, shown, first + len(lines)))
    if not lines and not ended:
        # Of a line that alone is longer than the limit only the beginning was read.
        lines.append(_text(partial, limit, shown, first))
    return LineRange(tuple(lines), first, total)


def _text(row: bytes, limit: int, shown: str, number: int) -> str:
    """Return a line, or its first `limit` bytes without half a character."""
    row, rest = row[:limit], row[limit:]
    try:
        return row.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        if rest and error.reason == "unexpected end of data":
            return row[: error.start].decode("utf-8")
        raise NotTextError(
            f"{shown} is not UTF-8 text (byte 0x{row[error.start]:02x} in line {number})"
        ) from error
