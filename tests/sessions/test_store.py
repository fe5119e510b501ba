import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.database import migrate
from punie.sessions.schema import MIGRATIONS
from punie.sessions.store import SessionStore, StoreError

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SessionStore]:
    store = SessionStore(tmp_path / "state" / "punie" / "sessions.sqlite3")
    yield store
    await store.close()


def only_database(store: SessionStore) -> Path:
    return store._database.path


async def test_events_come_back_in_order(store: SessionStore) -> None:
    await store.create("a", "/project", {"mode": "ask", "model": None})
    await store.create("b", "/project", {})
    for number in range(20):
        await store.append("a", "text", f'{{"n": {number}}}')
        await store.append("b", "text", "ünï\u2028c\x00de")
    assert await store.events("a") == [f'{{"n": {number}}}' for number in range(20)]
    assert await store.events("b") == ["ünï\u2028c\x00de"] * 20
    assert await store.events("unknown") == []


async def test_concurrent_appends_are_all_kept(store: SessionStore) -> None:
    await store.create("a", "/project", {})
    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(store.append, "a", "text", str(number))
    assert sorted(await store.events("a"), key=int) == [str(number) for number in range(50)]


async def test_cancelled_append_is_there_or_not_and_the_store_goes_on(store: SessionStore) -> None:
    await store.create("a", "/project", {})
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.append("a", "text", "maybe")
    await store.append("a", "text", "surely")
    events = await store.events("a")
    assert events[-1] == "surely"
    assert events[:-1] in ([], ["maybe"])


async def test_record(store: SessionStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    await store.create("a", "/project", {"mode": "ask", "model": "punie-tiny"})
    record = await store.get("a")
    assert record is not None
    assert (record.id, record.cwd, record.title) == ("a", "/project", None)
    assert record.meta == {"mode": "ask", "model": "punie-tiny"}
    assert before < record.created <= record.updated
    assert await store.get("b") is None


async def test_update_adds_to_meta_and_keeps_the_rest(store: SessionStore) -> None:
    await store.create("a", "/project", {"mode": "ask", "model": "m"})
    await store.update("a", title="Fix the tests")
    await store.update("a", meta={"mode": "auto"})
    record = await store.get("a")
    assert record is not None
    assert record.title == "Fix the tests"
    assert record.meta == {"mode": "auto", "model": "m"}


async def test_list_by_directory_latest_used_first(store: SessionStore) -> None:
    for session_id, cwd in (("a", "/one"), ("b", "/two"), ("c", "/one")):
        await store.create(session_id, cwd, {})
    await store.append("a", "text", "{}")
    assert [record.id for record in await store.list("/one")] == ["a", "c"]
    assert [record.id for record in await store.list()] == ["a", "c", "b"]
    assert await store.list("/on") == []


async def test_unknown_and_doubled_sessions_are_refused_in_a_sentence(store: SessionStore) -> None:
    await store.create("a", "/project", {})
    with pytest.raises(StoreError, match=r"The session a already exists\."):
        await store.create("a", "/other", {})
    with pytest.raises(StoreError, match="no session zzz"):
        await store.append("zzz", "text", "{}")
    with pytest.raises(StoreError, match="no session zzz"):
        await store.update("zzz", title="x")
    assert await store.events("zzz") == []


async def test_text_that_is_not_unicode_is_refused_and_nothing_is_half_done(
    store: SessionStore,
) -> None:
    await store.create("a", "/project", {})
    with pytest.raises(StoreError, match="cannot be used"):
        await store.append("a", "text", "\ud800")
    await store.append("a", "text", "after")
    assert await store.events("a") == ["after"]


async def test_reopened(store: SessionStore) -> None:
    await store.create("a", "/project", {})
    await store.append("a", "text", "1")
    await store.close()
    await store.append("a", "text", "2")
    again = SessionStore(only_database(store))
    assert await again.events("a") == ["1", "2"]
    await again.close()


async def test_only_the_owner_may_read(store: SessionStore) -> None:
    await store.create("a", "/project", {})
    assert stat.S_IMODE(only_database(store).stat().st_mode) == 0o600


async def test_deleted_file_is_noticed(store: SessionStore) -> None:
    await store.create("a", "/project", {})
    for file in only_database(store).parent.iterdir():
        file.unlink()
    with pytest.raises(StoreError, match="no session a"):
        await store.append("a", "text", "lost otherwise")
    await store.create("a", "/project", {})
    await store.append("a", "text", "kept")
    assert await store.events("a") == ["kept"]


@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\x00" + b"\xff" * 5000]
)
async def test_damaged_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sessions.sqlite3"
    for number in (1, 2):
        path.write_bytes(content)
        store = SessionStore(path)
        with pytest.raises(StoreError, match=rf"damaged.*corrupt-{number}"):
            await store.create("a", "/project", {})
        assert (tmp_path / f"sessions.sqlite3.corrupt-{number}").read_bytes() == content
        await store.create("a", "/project", {})
        await store.append("a", "text", "new")
        assert await store.events("a") == ["new"]
        await store.close()


async def test_file_damaged_later_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    store = SessionStore(path)
    await store.create("a", "/project", {})
    for _ in range(50):
        await store.append("a", "text", "x" * 2000)
    await store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x5a" * (len(whole) - 4096))
    with pytest.raises(StoreError, match=r"damaged.*corrupt-1"):
        await store.events("a")
    await store.create("a", "/project", {})
    await store.close()


async def test_damage_seen_by_two_stores_costs_no_new_history(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    path.write_bytes(b"not a database" * 100)
    one, two = SessionStore(path), SessionStore(path)
    with pytest.raises(StoreError, match="damaged"):
        await one.list()
    await one.create("a", "/project", {})
    await one.append("a", "text", "kept")
    assert "anew" in two._database._set_aside()
    assert await two.events("a") == ["kept"]
    await one.close()
    await two.close()


async def test_unusable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SessionStore(tmp_path / "file" / "sessions.sqlite3")
    with pytest.raises(StoreError, match=r"cannot be used: [a-z ]+\.$"):
        await store.create("a", "/project", {})
    await store.close()


async def test_read_only_file_is_one_sentence(store: SessionStore) -> None:
    await store.create("a", "/project", {})
    # The pragma makes SQLite refuse to write just as a read-only disk does, for root too.
    assert store._database._connection is not None
    store._database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="read-only"):
        await store.append("a", "text", "{}")
    assert await store.events("a") == []


FULL = """
import anyio, resource, sys
from pathlib import Path
from punie.sessions.store import SessionStore, StoreError

async def main():
    store = SessionStore(Path(sys.argv[1]))
    await store.create("a", "/project", {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    done = 0
    try:
        while True:
            await store.append("a", "text", "x" * 20_000)
            done += 1
    except StoreError as error:
        print(done, error)
    assert len(await store.events("a")) == done

anyio.run(main)
"""


async def test_full_disk_is_one_sentence_and_reading_goes_on(tmp_path: Path) -> None:
    # A limit on file sizes makes writes fail as a full disk does.
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "sessions.sqlite3")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "The session history" in done.stdout
    assert done.stdout.strip().endswith(".")
    assert int(done.stdout.split()[0]) > 0


async def test_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    store = SessionStore(path)
    with pytest.raises(StoreError, match="newer Punie"):
        await store.list()
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_migrations_run_in_order_and_all_or_none(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    db = sqlite3.connect(path, isolation_level=None)
    migrate(db, MIGRATIONS)
    migrate(db, MIGRATIONS)
    step = ("ALTER TABLE sessions ADD COLUMN pinned INTEGER",)
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, (*MIGRATIONS, step, ("CREATE NONSENSE",)))
    columns = [row[1] for row in db.execute("PRAGMA table_info(sessions)")]
    assert "pinned" not in columns
    migrate(db, (*MIGRATIONS, step))
    columns = [row[1] for row in db.execute("PRAGMA table_info(sessions)")]
    assert "pinned" in columns
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    db.close()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.sampled_from("abc"), TEXT),
            st.tuples(st.just("create"), st.sampled_from("abc"), TEXT),
            st.tuples(st.just("title"), st.sampled_from("abc"), TEXT),
            st.tuples(st.just("reopen"), st.just(""), st.just("")),
        ),
        max_size=25,
    )
)
@settings(max_examples=40, deadline=None)
def test_behaves_like_a_dictionary_of_lists(steps: list[tuple[str, str, str]]) -> None:
    async def main(path: Path) -> None:
        store = SessionStore(path)
        model: dict[str, list[str]] = {}
        titles: dict[str, str] = {}
        for step, session_id, text in steps:
            known = session_id in model
            try:
                match step:
                    case "append":
                        await store.append(session_id, "text", text)
                        model[session_id].append(text)
                    case "create":
                        await store.create(session_id, text, {})
                        model[session_id] = []
                    case "title":
                        await store.update(session_id, title=text)
                        titles[session_id] = text
                    case _:
                        await store.close()
            except StoreError:
                assert known == (step == "create")
            else:
                assert step == "reopen" or known == (step != "create")
        for session_id in "abc":
            assert await store.events(session_id) == model.get(session_id, [])
        assert {r.id: r.title for r in await store.list()} == {k: titles.get(k) for k in model}
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        anyio.run(main, Path(folder) / "sessions.sqlite3")
