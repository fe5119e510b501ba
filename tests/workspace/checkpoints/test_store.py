"""Contents, the journal, and what becomes of them."""

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.workspace.checkpoints.blobs import BlobStore, LostContentError
from punie.workspace.checkpoints.journal import Journal
from punie.workspace.checkpoints.keeping import (
    copy_checkpoints,
    forget_checkpoints,
    prune_checkpoints,
)
from punie.workspace.checkpoints.states import ABSENT, FileState, decode_state, file_state


@given(data=st.binary(max_size=300))
def test_contents_come_back(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "contents"
    assert BlobStore(folder).get(BlobStore(folder).put(data)) == data


def test_a_content_is_whole_or_not_there(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = store.put(b"content")
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(LostContentError):
        store.get("0" * 32)
    for spoilt in (b"", b"spoilt", path.read_bytes()[:-1]):
        path.write_bytes(spoilt)
        with pytest.raises(LostContentError):
            store.get(digest)


STATES = st.one_of(
    st.just(ABSENT),
    st.builds(FileState, st.just("link"), target=st.text(max_size=5)),
    st.builds(file_state, st.binary(max_size=3), st.integers(0, 0o777)),
)


@given(state=STATES)
def test_states_come_back(state: FileState) -> None:
    assert decode_state(state.encoded()) == state


def journal(folder: Path) -> tuple[Journal, list[str]]:
    written = Journal(folder)
    written.begin_turn("t", "do it", command=False)
    odd = Path(os.fsdecode(b"/p/b\xff\n"))
    one, two = file_state(b"1", 0o644), file_state(b"2", 0o644)
    ids = written.begin("t", [(odd, one, two), (Path("/p/c"), ABSENT, one)])
    written.settle({ids[0]: two})
    return written, ids


def test_a_journal_is_read_up_to_where_its_writer_was_killed(tmp_path: Path) -> None:
    _, ids = journal(tmp_path)
    path = tmp_path / "journal.jsonl"
    whole = path.read_bytes()
    for length in range(0, len(whole), 9):
        path.write_bytes(whole[:length])
        turns = Journal(tmp_path).turns()
        assert len(turns) <= 1
        # What is written after half a line is not lost with it.
        Journal(tmp_path).begin_turn("later", "more", command=False)
        Journal(tmp_path).gap("later", "A gap.")
        assert Journal(tmp_path).turns()[-1].gaps == ["A gap."]
    path.write_bytes(whole + b'\n{"k":"of a later version"}\n{"k":"end","id":"?"}\n[]\n\xff')
    (turn,) = Journal(tmp_path).turns()
    assert [(change.id, change.sure) for change in turn.changes] == [
        (ids[0], True),
        (ids[1], False),
    ]
    assert os.fsencode(turn.changes[0].path) == b"/p/b\xff\n"


def test_one_undo_at_a_time(tmp_path: Path) -> None:
    first = Journal(tmp_path).try_lock()
    assert first is not None
    assert Journal(tmp_path).try_lock() is None
    first.close()
    second = Journal(tmp_path).try_lock()
    assert second is not None
    second.close()


def test_a_copied_session_takes_its_checkpoints_along(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    written, _ = journal(one)
    digest = BlobStore(one / "contents").put(b"content")
    copy_checkpoints(one, two)
    written.gap("t", "Only in the first.")
    shutil.rmtree(one / "contents")
    assert Journal(two).turns()[0].gaps == []
    assert BlobStore(two / "contents").get(digest) == b"content"
    forget_checkpoints(two)
    forget_checkpoints(two)
    assert not two.exists()
    copy_checkpoints(tmp_path / "nothing", two)
    assert not two.exists()


def test_what_is_old_or_too_much_goes_the_oldest_first(tmp_path: Path) -> None:
    now = time.time()
    for number, days in enumerate((40, 3, 2, 1)):
        journal(tmp_path / str(number))
        (tmp_path / str(number) / "big").write_bytes(b"x" * 10_000)
        used = now - days * 86_400
        os.utime(tmp_path / str(number) / "journal.jsonl", (used, used))
    (tmp_path / "something else").mkdir()
    assert prune_checkpoints(tmp_path, but="2") == ["0"]
    assert prune_checkpoints(tmp_path, but="2", most_bytes=15_000) == ["1"]
    assert prune_checkpoints(tmp_path, but="2", most_bytes=0) == ["3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "something else"]
    assert prune_checkpoints(tmp_path / "nothing", but="x") == []
