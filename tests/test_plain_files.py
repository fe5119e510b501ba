"""What a project puts in the place of a file is no trap for who reads it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from punie.plain_files import NotPlainError, read_plain
from punie.settings import SettingsError, load_settings
from punie.workspace.checkpoints.baseline import _text
from punie.workspace.checkpoints.git_index import read_index
from punie.workspace.ignore_files import ignored_names

TRAPS = ("pipe", "zero", "input", "socket", "sparse")


def trap(path: Path, kind: str) -> None:
    """Put something there that would be waited for, or would fill the memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "input":
            path.symlink_to("/dev/stdin")
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
        case _:
            path.touch()
            os.truncate(path, 1 << 36)


@pytest.fixture
def waiting_input() -> Iterator[None]:
    """Our own input is a pipe in which nothing comes."""
    read_end, write_end = os.pipe()
    kept = os.dup(0)
    os.dup2(read_end, 0)
    yield
    os.dup2(kept, 0)
    for descriptor in (kept, read_end, write_end):
        os.close(descriptor)


def test_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    (tmp_path / "link").symlink_to(path)
    assert read_plain(tmp_path / "link", 5) == b"12345"
    assert read_plain(str(path), 3, cut=True) == b"123"
    with pytest.raises(NotPlainError, match="larger than 4 bytes"):
        read_plain(path, 4)
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "b", 4)
    with pytest.raises(NotPlainError):
        read_plain(tmp_path, 4)


@pytest.mark.usefixtures("waiting_input")
@pytest.mark.parametrize("kind", TRAPS)
def test_no_reader_is_trapped(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # The address of a socket is short.
    for name in (".gitignore", ".ignore", ".rgignore", ".git/info/exclude", ".gitattributes"):
        trap(Path(name), kind)
    trap(Path(".git/index"), kind)
    trap(Path(".punie/settings.toml"), kind)
    assert ignored_names(tmp_path, [("a.py", False)]) == frozenset()
    assert not _text(tmp_path / ".gitattributes").strip(b"\0")
    assert read_index(tmp_path) is None
    with pytest.raises(SettingsError, match=r"settings\.toml cannot be read: it is"):
        load_settings(tmp_path)
