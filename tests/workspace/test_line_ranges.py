import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from punie.workspace import line_ranges
from punie.workspace.base import NotTextError, WorkspaceError
from punie.workspace.beneath import whole_path
from punie.workspace.line_ranges import read_line_range


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    lines=st.lists(st.text("aé€\t", max_size=6), max_size=20),
    newline=st.sampled_from(["\n", "\r\n"]),
    ended=st.booleans(),
    bom=st.booleans(),
    first=st.integers(1, 25),
    size=st.integers(0, 10),
    chunk=st.integers(1, 9),
)
def test_a_range_is_what_splitting_the_whole_would_give(
    tmp_path: Path,
    chunk_size: None,
    lines: list[str],
    newline: str,
    ended: bool,
    bom: bool,
    first: int,
    size: int,
    chunk: int,
) -> None:
    line_ranges._CHUNK_BYTES = chunk
    text = newline.join(lines) + (newline if ended and lines else "")
    path = tmp_path / "f"
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    whole = text.split(newline)
    if not whole[-1]:
        whole.pop()
    last = first + size
    part = read_line_range(whole_path(path), "f", first, last, 10_000)
    assert part.first == first
    assert list(part.lines) == whole[first - 1 : last]
    assert part.total in (None, len(whole))
    if not part.lines:
        assert part.total == len(whole)
    rest = read_line_range(whole_path(path), "f", first, None, 10_000)
    assert list(rest.lines) == whole[first - 1 :]
    assert rest.total == len(whole)


@pytest.fixture
def chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the size set back that a test sets."""
    monkeypatch.setattr(line_ranges, "_CHUNK_BYTES", line_ranges._CHUNK_BYTES)


def test_memory_stays_flat_in_a_file_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    line = b"x" * 99 + b"\n"
    with path.open("wb") as file:
        for _ in range(40):
            file.write(line * 10_000)
    tracemalloc.start()
    try:
        part = read_line_range(whole_path(path), "huge", 399_990, 399_995, 64_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert part.lines == ("x" * 99,) * 6
    assert peak < 8_000_000
    assert read_line_range(whole_path(path), "huge", 400_001, None, 64_000).total == 400_000


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes("é".encode() * 3_000_000)
    part = read_line_range(whole_path(path), "huge", 1, 1, 1001)
    assert part.lines == ("é" * 500,)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a\n\0b", "f is a binary file (NUL byte at offset 2)"),
        (b"\x89PNG\r\n\x1a\n\0", "f is a PNG image, not text"),
        (b"ok\ncaf\xe9\n", "f is not UTF-8 text (byte 0xe9 in line 2)"),
        (b"\xff\xfea\0", "f is UTF-16, not UTF-8 text"),
    ],
)
def test_what_is_not_text(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(data)
    with pytest.raises(NotTextError) as caught:
        read_line_range(whole_path(path), "f", 1, None, 1000)
    assert str(caught.value) == sentence


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="is a folder, not a file"):
        read_line_range(whole_path(tmp_path), "f", 1, None, 1000)
    with pytest.raises(WorkspaceError, match="there is no file x"):
        read_line_range(whole_path(tmp_path / "x"), "x", 1, None, 1000)
