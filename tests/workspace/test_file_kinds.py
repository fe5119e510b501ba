import gzip
import io
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pytest

from punie.workspace.base import NotTextError
from punie.workspace.beneath import whole_path
from punie.workspace.file_kinds import FileKind, kind_of
from punie.workspace.text_files import MAX_TEXT_BYTES, read_text_file


def _zip(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return data.getvalue()


def _tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return data.getvalue()


def _database(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("create table a (b)")
    connection.commit()
    connection.close()
    return path.read_bytes()


def test_what_real_programs_write(tmp_path: Path) -> None:
    import compileall

    (tmp_path / "a.py").write_text("x = 1\n")
    compileall.compile_file(tmp_path / "a.py", quiet=1)
    (compiled,) = tmp_path.rglob("*.pyc")
    samples = {
        "a zip archive": _zip("a.txt"),
        "a Word document": _zip("[Content_Types].xml", "word/document.xml"),
        "an Excel workbook": _zip("xl/workbook.xml"),
        "a tar archive": _tar(),
        "a gzip archive": gzip.compress(b"x"),
        "an SQLite database": _database(tmp_path / "db"),
        "compiled Python": compiled.read_bytes(),
        "a compiled program or library": Path("/bin/sh").resolve().read_bytes()[:4096],
    }
    for name, data in samples.items():
        path = tmp_path / "sample.txt"
        path.write_bytes(data)
        with pytest.raises(NotTextError, match=f"sample.txt is {name}, not text"):
            read_text_file(path, whole_path(path), "sample.txt")


def test_text_is_text_whatever_it_begins_with(tmp_path: Path) -> None:
    for text in ("BM is a word", "MZ", "GIF89a", "OggS", "ID3 tags", "PAR1", "%!PS", "II*"):
        path = tmp_path / "a.png"
        path.write_text(text)
        assert read_text_file(path, whole_path(path), "a").text == text


def test_a_document_that_is_all_text_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"%PDF-1.4\n%%EOF\n")
    with pytest.raises(NotTextError, match="a PDF document") as caught:
        read_text_file(path, whole_path(path), "a")
    assert caught.value.family == "document"


def test_a_large_image_is_an_image(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n\0")
        file.truncate(MAX_TEXT_BYTES + 1)
    with pytest.raises(NotTextError, match="a PNG image"):
        read_text_file(path, whole_path(path), "a")


def test_unknown_bytes_have_no_kind() -> None:
    assert kind_of(b"\0\1\2\3") is None
    assert kind_of(b"") is None
    assert kind_of(b"RIFF\0\0\0\0WEBP") == FileKind("a WebP image", "image")
