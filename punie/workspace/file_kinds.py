"""What a file that is not text is, told by its first bytes.

Source of the marks: the formats' own specifications. A file's name is not looked at, since a name
can say anything.
"""

from typing import Literal, NamedTuple

HEAD_BYTES = 4096
"""How much of a file is enough to tell."""

Family = Literal["image", "document", "archive", "media", "program", "data"]


class FileKind(NamedTuple):
    """`name` follows "is", as in "a PNG image"; `family` says what can be done with it."""

    name: str
    family: Family


_MARKS: tuple[tuple[int, bytes, FileKind], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", FileKind("a PNG image", "image")),
    (0, b"\xff\xd8\xff", FileKind("a JPEG image", "image")),
    (0, b"GIF87a", FileKind("a GIF image", "image")),
    (0, b"GIF89a", FileKind("a GIF image", "image")),
    (8, b"WEBP", FileKind("a WebP image", "image")),
    (0, b"BM", FileKind("a BMP image", "image")),
    (0, b"II*\0", FileKind("a TIFF image", "image")),
    (0, b"MM\0*", FileKind("a TIFF image", "image")),
    (0, b"\0\0\1\0", FileKind("an icon image", "image")),
    (4, b"ftypheic", FileKind("a HEIC image", "image")),
    (4, b"ftypavif", FileKind("an AVIF image", "image")),
    (0, b"8BPS", FileKind("a Photoshop image", "image")),
    (0, b"%PDF-", FileKind("a PDF document", "document")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileKind("an old Office document", "document")),
    (0, b"\x1f\x8b", FileKind("a gzip archive", "archive")),
    (0, b"BZh", FileKind("a bzip2 archive", "archive")),
    (0, b"\xfd7zXZ\0", FileKind("an xz archive", "archive")),
    (0, b"\x28\xb5\x2f\xfd", FileKind("a zstd archive", "archive")),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind("a 7z archive", "archive")),
    (0, b"Rar!\x1a\x07", FileKind("a RAR archive", "archive")),
    (257, b"ustar", FileKind("a tar archive", "archive")),
    (0, b"\x7fELF", FileKind("a compiled program or library", "program")),
    (0, b"\xcf\xfa\xed\xfe", FileKind("a compiled program or library", "program")),
    (0, b"\xca\xfe\xba\xbe", FileKind("a compiled program or library", "program")),
    (0, b"MZ", FileKind("a compiled program or library", "program")),
    (0, b"\0asm", FileKind("a WebAssembly module", "program")),
    (2, b"\r\n\0\0\0\0", FileKind("compiled Python", "program")),
    (0, b"SQLite format 3\0", FileKind("an SQLite database", "data")),
    (0, b"PAR1", FileKind("a Parquet table", "data")),
    (0, b"\x89HDF\r\n\x1a\n", FileKind("an HDF5 file", "data")),
    (0, b"\x93NUMPY", FileKind("a NumPy array", "data")),
    (0, b"GGUF", FileKind("a GGUF model", "data")),
    (0, b"\x80\x02", FileKind("a Python pickle", "data")),
    (0, b"\x80\x03", FileKind("a Python pickle", "data")),
    (0, b"\x80\x04\x95", FileKind("a Python pickle", "data")),
    (0, b"\x80\x05\x95", FileKind("a Python pickle", "data")),
    (8, b"WAVE", FileKind("a sound file", "media")),
    (0, b"OggS", FileKind("a sound or video file", "media")),
    (0, b"fLaC", FileKind("a sound file", "media")),
    (0, b"ID3", FileKind("a sound file", "media")),
    (4, b"ftyp", FileKind("a video or sound file", "media")),
    (0, b"\x1aE\xdf\xa3", FileKind("a video file", "media")),
    (0, b"wOFF", FileKind("a font", "media")),
    (0, b"wOF2", FileKind("a font", "media")),
    (0, b"OTTO", FileKind("a font", "media")),
    (0, b"\0\1\0\0\0", FileKind("a font", "media")),
)
_ZIPS: tuple[tuple[bytes, FileKind], ...] = (
    (b"word/", FileKind("a Word document", "document")),
    (b"xl/", FileKind("an Excel workbook", "document")),
    (b"ppt/", FileKind("a PowerPoint presentation", "document")),
    (b"mimetypeapplication/vnd.oasis", FileKind("an OpenDocument file", "document")),
    (b"mimetypeapplication/epub", FileKind("an EPUB book", "document")),
)


def kind_of(head: bytes) -> FileKind | None:
    """Return what a file with these first bytes is, or None if they say nothing.

    Meant for files that are known not to be text: short marks could also begin a text.
    """
    if head.startswith(b"PK\x03\x04"):
        for mark, kind in _ZIPS:
            if mark in head:
                return kind
        return FileKind("a zip archive", "archive")
    for offset, mark, kind in _MARKS:
        if head.startswith(mark, offset):
            return kind
    return None
