"""Text files on disk: decoding without loss, and writing so that no reader sees half a file."""

import contextlib
import difflib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from punie.workspace.base import (
    IsFolderError,
    MissingFileError,
    NotTextError,
    TextFile,
    TooLargeError,
    WorkspaceError,
)
from punie.workspace.beneath import HeldPath
from punie.workspace.boundary import visible_name
from punie.workspace.file_kinds import HEAD_BYTES, FileKind, kind_of

MAX_TEXT_BYTES = 10 * 1024 * 1024
"""Larger files are not read as a whole."""

BOM = b"\xef\xbb\xbf"


def digest_of(data: bytes) -> str:
    """Return a short hash of a file's bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def decode_text(path: Path, shown: str, data: bytes) -> TextFile:
    """Turn the bytes of a file into text; raise `NotTextError` with the reason if they are none.

    Only a file whose every line ends in CRLF is converted to `\\n`. A mixed file keeps its carriage
    returns in the text, so that writing it back changes no line that was not edited.
    """
    refuse_utf16(data, shown)
    zero = data.find(b"\0")
    if zero >= 0:
        raise not_text(shown, kind_of(data[:HEAD_BYTES]), f"NUL byte at offset {zero}")
    bom = data.startswith(BOM)
    try:
        text = data.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        offset = error.start + (len(BOM) if bom else 0)
        kind = kind_of(data[:HEAD_BYTES])
        if kind is not None:
            raise not_text(shown, kind, "") from error
        raise NotTextError(
            f"{shown} is not UTF-8 text (byte 0x{data[offset]:02x} at offset {offset})"
        ) from error
    if data.startswith(b"%PDF-"):
        # Some are all text, but none that anybody could read.
        raise not_text(shown, kind_of(data[:HEAD_BYTES]), "")
    newline = "\n"
    ends = text.count("\n")
    if ends and text.count("\r\n") == ends:
        newline = "\r\n"
        text = text.replace("\r\n", "\n")
    return TextFile(path=path, text=text, digest=digest_of(data), newline=newline, bom=bom)


def encode_text(shown: str, text: str, *, newline: str, bom: bool) -> bytes:
    """Turn text into the bytes of a file; raise `NotTextError` if it could not be read back."""
    if "\0" in text:
        raise NotTextError(f"the text for {shown} holds a NUL character")
    if newline != "\n":
        text = text.replace("\n", newline)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotTextError(f"the text for {shown} holds a broken Unicode character") from error
    return BOM + data if bom else data


def reason(error: OSError) -> str:
    """Return what the system says about a failure, as the end of a sentence."""
    return (error.strerror or str(error)).lower()


def missing_sentence(path: Path, shown: str, noun: str) -> str:
    """Say that there is no `noun` at `path`, naming what looks like it in the same folder.

    When a folder on the way is missing already, or is a file, that is what is said.
    """
    missing = path
    while not os.path.exists(missing.parent):  # noqa: PTH110, never raises
        missing, noun = missing.parent, "folder"
        shown = shown.rpartition("/")[0]
    folder = missing.parent
    if not folder.is_dir():
        return f"{shown.rpartition('/')[0]} is a file, not a folder"
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208, only names are needed
    except OSError:
        names = []
    close = difflib.get_close_matches(missing.name, names, n=3, cutoff=0.6)
    sentence = f"there is no {noun} {shown}"
    if not close:
        return sentence
    prefix = shown.rpartition("/")[0] + "/" if "/" in shown else ""
    return f"{sentence}; did you mean {' or '.join(prefix + visible_name(n) for n in close)}?"


def refuse_utf16(head: bytes, shown: str) -> None:
    """Raise `NotTextError` for a file that begins with the mark of UTF-16."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotTextError(f"{shown} is UTF-16, not UTF-8 text")


def not_text(shown: str, kind: FileKind | None, sign: str) -> NotTextError:
    """Return the error for a file that is of this kind, or whose kind only this `sign` tells."""
    if kind is None:
        return NotTextError(f"{shown} is a binary file ({sign})")
    return NotTextError(f"{shown} is {kind.name}, not text", kind.family)


def too_large(shown: str, size: int) -> TooLargeError:
    """Return the error for a file of `size` bytes."""
    return TooLargeError(
        f"{shown} has {size} bytes, more than the {MAX_TEXT_BYTES} that can be read at once; read "
        "a part of it with start_line and end_line"
    )


def _what_is_so_large(file: BinaryIO, shown: str, size: int) -> WorkspaceError:
    head = file.read(HEAD_BYTES)
    kind = kind_of(head) if b"\0" in head or head.startswith(b"%PDF-") else None
    return too_large(shown, size) if kind is None else not_text(shown, kind, "")


def refuse_no_file(found: os.stat_result, shown: str) -> None:
    """Raise `WorkspaceError` for what is no regular file, `IsFolderError` for a folder."""
    if stat.S_ISDIR(found.st_mode):
        raise IsFolderError(f"{shown} is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise WorkspaceError(f"{shown} is not a regular file")


@contextlib.contextmanager
def open_regular(at: HeldPath, shown: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file to read and tell its size; raise `WorkspaceError` for anything else.

    It is looked at before it is opened, which can do something with a device, and after.
    """
    there = at.status()
    if not stat.S_ISLNK(there.st_mode):
        refuse_no_file(there, shown)
    with at.open() as file:
        found = os.fstat(file.fileno())
        refuse_no_file(found, shown)
        yield file, found.st_size


def read_text_file(path: Path, at: HeldPath, shown: str) -> TextFile:
    """Read the file there; raise `WorkspaceError` if it is missing, no file, or not text."""
    try:
        with open_regular(at, shown) as (file, size):
            if size > MAX_TEXT_BYTES:
                raise _what_is_so_large(file, shown, size)
            data = file.read()
    except FileNotFoundError as error:
        raise MissingFileError(missing_sentence(at.path, shown, "file")) from error
    except NotADirectoryError as error:
        raise WorkspaceError(missing_sentence(at.path, shown, "file")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be read: {reason(error)}") from error
    return decode_text(path, shown, data)


def check_writable(at: HeldPath, shown: str) -> os.stat_result | None:
    """Return what is there, None if nothing; raise `WorkspaceError` if it cannot be written."""
    try:
        found = at.status()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be written: {reason(error)}") from error
    refuse_no_file(found, shown)
    # Replacing needs only the folder's permission, but a read-only file means "hands off", to a
    # superuser too.
    if not at.may_write() or not found.st_mode & 0o222:
        raise WorkspaceError(f"{shown} is read-only")
    return found


def write_file_atomically(
    at: HeldPath, shown: str, data: bytes, *, expected: str | None = None
) -> None:
    """Put `data` in place of the file there in one step, keeping its permission bits.

    With `expected`, the digest of the old file, nothing is written if it is another by now.
    Raises `WorkspaceError` when writing is not possible; the old file is untouched then.
    """
    temporary = at.beside(f".punie-{secrets.token_hex(8)}.tmp")
    try:
        found = check_writable(at, shown)
        if expected is not None and (found is None or _digest(at, shown) != expected):
            raise WorkspaceError(f"{shown} changed on disk just now; read it again first")
        try:
            # Opened by hand, not by tempfile, so that a new file gets the umask's usual mode.
            with temporary.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                file.write(data)
                if found is not None:
                    os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode))
            temporary.replace(at)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be written: {reason(error)}") from error


def _digest(at: HeldPath, shown: str) -> str:
    with open_regular(at, shown) as (file, _):
        return digest_of(file.read())


def remove_file(at: HeldPath, shown: str, *, expected: str) -> None:
    """Delete the file there if its digest is the one expected; else raise `WorkspaceError`."""
    try:
        if _digest(at, shown) != expected:
            raise WorkspaceError(f"{shown} changed on disk just now; read it again first")
        if not at.status().st_mode & 0o222:
            raise WorkspaceError(f"{shown} is read-only")
        at.unlink()
    except FileNotFoundError as error:
        raise MissingFileError(missing_sentence(at.path, shown, "file")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be deleted: {reason(error)}") from error
