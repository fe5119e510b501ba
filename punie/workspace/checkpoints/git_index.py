"""Which files are just as git has them, read from its index without running git."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from punie.plain_files import read_plain

_HEADER = struct.Struct(">4sLL")
_ENTRY = struct.Struct(">10L20sH")
_EXTENSION = struct.Struct(">4sL")
_CHECKSUM = 20
_MAX_BYTES = 256 * 1024 * 1024
_POINTER_BYTES = 64 * 1024
_EXTENDED = 0x4000
_STAGE = 0x3000
_REGULAR = 0o100000


@dataclass(frozen=True)
class GitFile:
    """What git noted of a file when it last took its content to be that of the object `sha`."""

    sha: str
    size: int
    mtime_ns: int
    inode: int

    def is_as(self, size: int, mtime_ns: int, inode: int) -> bool:
        """Tell whether the file has not changed since, as git itself tells it."""
        return (self.size, self.mtime_ns, self.inode) == (
            size & 0xFFFFFFFF,
            mtime_ns,
            inode & 0xFFFFFFFF,
        )


@dataclass(frozen=True)
class GitIndex:
    """The files of a work tree by their paths; `top` is its folder.

    A file that was changed in the moment in which the index was written is not in it, for its
    times would not tell.
    """

    top: Path
    files: dict[str, GitFile]


def read_index(folder: Path) -> GitIndex | None:
    """Return what the index of the repository around a folder says; None if nothing is known."""
    try:
        for top in (folder, *folder.parents):
            data = _data_folder(top)
            if data is not None:
                return _parse(top, data / "index")
    except (OSError, ValueError, struct.error):
        pass
    return None


def _data_folder(top: Path) -> Path | None:
    entry = top / ".git"
    if entry.is_dir():
        return entry
    if not entry.is_file():
        return None
    text = os.fsdecode(read_plain(entry, _POINTER_BYTES))
    if not text.startswith("gitdir:"):
        return None
    return top / text.removeprefix("gitdir:").strip()


def _parse(top: Path, path: Path) -> GitIndex | None:
    # Before it is read: of one that is written meanwhile less is believed.
    status = path.stat()
    data = read_plain(path, _MAX_BYTES)
    signature, version, count = _HEADER.unpack_from(data)
    if signature != b"DIRC" or version not in (2, 3, 4):
        return None
    written = status.st_mtime_ns
    base = os.fspath(top).rstrip("/")
    entries, end = _entries(data, version, count)
    if not _is_whole(data, end):
        return None
    files = {
        f"{base}/{os.fsdecode(name)}": found for name, found in entries if found.mtime_ns < written
    }
    return GitIndex(top, files)


def _is_whole(data: bytes, position: int) -> bool:
    """Tell whether extensions follow to the end, none of which says that there are more files.

    With longer object names it does not end where it should.
    """
    while position + _CHECKSUM < len(data):
        name, size = _EXTENSION.unpack_from(data, position)
        if name == b"link":
            return False
        position += _EXTENSION.size + size
    return position + _CHECKSUM == len(data)


def _entries(data: bytes, version: int, count: int) -> tuple[list[tuple[bytes, GitFile]], int]:
    """Return the files by their names, and where the list ends."""
    found: list[tuple[bytes, GitFile]] = []
    position = _HEADER.size
    name = b""
    for _ in range(count):
        start = position
        fields = _ENTRY.unpack_from(data, position)
        seconds, nanos, inode, mode, size = fields[2], fields[3], fields[5], fields[6], fields[9]
        sha, flags = fields[10], fields[11]
        position += _ENTRY.size + (2 if flags & _EXTENDED else 0)
        if version == 4:
            strip, position = _varint(data, position)
            end = data.index(b"\0", position)
            name = name[: len(name) - strip] + data[position:end]
            position = end + 1
        else:
            end = data.index(b"\0", position)
            name = data[position:end]
            position = start + (end - start + 8) // 8 * 8
        # Without parts of seconds a later change could have the same time.
        if mode & 0o170000 == _REGULAR and not flags & _STAGE and nanos and size:
            found.append((name, GitFile(sha.hex(), size, seconds * 10**9 + nanos, inode)))
    return found, position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    value = byte & 0x7F
    while byte & 0x80:
        position += 1
        byte = data[position]
        value = ((value + 1) << 7) | (byte & 0x7F)
    return value, position + 1
