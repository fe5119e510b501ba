"""The client against the real language server."""

import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import anyio
import pytest

from punie.workspace.base import MissingFileError
from punie.workspace.ide import IdeWorkspace
from punie.workspace.local import LocalWorkspace
from punie.workspace.lsp import client, wire
from punie.workspace.lsp.client import LanguageServer
from punie.workspace.lsp.connection import Connection
from punie.workspace.lsp.disk_state import DiskState, look
from punie.workspace.lsp.model import LanguageServerError, Place, Point
from punie.workspace.lsp.positions import ENCODINGS
from punie.workspace.processes import ProcessGroup, live_groups

pytestmark = pytest.mark.anyio


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[LocalWorkspace]:
    made = LocalWorkspace([tmp_path])
    yield made
    await made.aclose()


def spots(places: list[Place]) -> list[tuple[str, int, int, int]]:
    return [(place.path.name, place.line, place.column, place.end_column) for place in places]


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_places_are_right_in_files_of_every_form(
    workspace: LocalWorkspace, tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = "\ufeffone = 1; s = '😀é'; two = one\r\nprint(s, two)\r\n"
    (tmp_path / "a.py").write_bytes(marked.encode())
    (tmp_path / "b.py").write_bytes(b"import a\rfrom a import one\r\nprint('x', one)\n")
    monkeypatch.setattr(wire, "ENCODINGS", (encoding,))
    server = await workspace.language_server(tmp_path)
    for point in (Point(tmp_path / "a.py", 1, 0), Point(tmp_path / "b.py", 2, 11)):
        assert spots(await server.references(point)) == [
            ("a.py", 1, 0, 3),
            ("a.py", 1, 25, 28),
            ("b.py", 1, 23, 26),
            ("b.py", 2, 11, 14),
        ]


async def test_a_large_tree_is_not_looked_through_for_every_edit(
    workspace: LocalWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []

    def slowly(root: Path, environment: Mapping[str, str]) -> DiskState:
        looked.append(root)
        time.sleep(0.5)
        return look(root, environment)

    monkeypatch.setattr(client, "look", slowly)
    file = tmp_path / "a.py"
    file.write_text("one: int = ''\n")
    server = await workspace.language_server(file)
    (found,) = (await server.diagnostics([file], {})).values()
    assert [each.rule for each in found] == ["invalid-assignment"]
    file.write_text("one: int = 1\n")
    assert await server.diagnostics([file], {}) == {file: []}
    assert len(looked) == 1
    await server.references(Point(file, 1, 0))
    assert len(looked) == 2


async def test_it_is_told_of_what_changes_on_disk(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("one = 1\n")
    server = await workspace.language_server(first)
    assert server.process_id is None
    assert spots(await server.references(Point(first, 1, 0))) == [("a.py", 1, 0, 3)]
    second.write_text("from a import one\n")
    assert len(await server.references(Point(first, 1, 0))) == 2
    second.write_text("\nfrom a import one\nprint(one)\n")
    assert len(await server.references(Point(first, 1, 0))) == 3
    first.write_text("\n\none = 1\n")
    assert len(await server.references(Point(first, 3, 0))) == 3
    second.unlink()
    assert spots(await server.references(Point(first, 3, 0))) == [("a.py", 3, 0, 3)]
    first.unlink()
    with pytest.raises(MissingFileError):
        await server.references(Point(first, 3, 0))


async def test_a_start_that_is_cancelled_is_made_again(
    workspace: LocalWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("s = '😀'; one = 1; print(one)\n")
    server = await workspace.language_server(tmp_path)

    async def cut(self: Connection) -> None:
        await anyio.wait_readable(self._stdout)
        scope.cancel()
        await anyio.sleep(0)

    with anyio.CancelScope() as scope, monkeypatch.context() as patched:
        patched.setattr(Connection, "_read_answers", cut)
        await server.hover(Point(tmp_path / "a.py", 1, 0))
    assert scope.cancelled_caught
    assert server.process_id is None
    place = spots(await server.references(Point(tmp_path / "a.py", 1, 9)))
    assert place == [("a.py", 1, 9, 12), ("a.py", 1, 24, 27)]


async def test_an_overlay_holds_for_one_question(workspace: LocalWorkspace, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("one = 1\nprint(one)\n")
    server = await workspace.language_server(path)
    use = Point(path, 2, 6)
    assert spots((await server.definitions([use]))[0]) == [("a.py", 1, 0, 3)]
    other = {path: "\none = 1;print(one)\n"}
    (found,) = await server.definitions([Point(path, 2, 14)], other)
    assert spots(found) == [("a.py", 2, 0, 3)]
    assert spots((await server.definitions([use]))[0]) == [("a.py", 1, 0, 3)]


async def test_it_starts_again_after_a_crash_and_ends_with_the_workspace(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    path = tmp_path / "a.py"
    path.write_text("def one() -> int:\n    return 1\n")
    server = await workspace.language_server(path)
    assert await server.hover(Point(path, 1, 4)) == "def one() -> int"
    crashed = server.process_id
    assert crashed is not None
    os.kill(crashed, signal.SIGKILL)
    assert [each.name for each in await server.symbols_of(path)] == ["one"]
    running = server.process_id
    assert running != crashed
    assert running in live_groups()
    await workspace.aclose()
    assert server.process_id is None
    assert running not in live_groups()


async def test_it_ends_when_idle_and_starts_again(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    path = tmp_path / "a.py"
    path.write_text("one = 1\n")
    program = await workspace.find_program("ty", "trusted")
    server = LanguageServer(
        (str(program), "server"), tmp_path, set(), workspace.read_text, idle_seconds=0.05
    )
    for _ in range(2):
        assert len(await server.references(Point(path, 1, 0))) == 1
        with anyio.fail_after(10):
            while server.process_id is not None:
                await anyio.sleep(0.01)
    await server.aclose()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 1", "ended by itself, twice"),
        ("printf 'no header\\r\\n\\r\\n'; sleep 60", "ended by itself, twice"),
        ("sleep 60", "gave no answer in 0.3 seconds"),
    ],
)
async def test_a_server_that_does_not_answer_is_told_of_in_a_sentence(
    tmp_path: Path, script: str, message: str
) -> None:
    workspace = LocalWorkspace([tmp_path])
    groups: set[ProcessGroup] = set()
    server = LanguageServer(
        ("/bin/sh", "-c", script), tmp_path, groups, workspace.read_text, answer_seconds=0.3
    )
    with pytest.raises(LanguageServerError, match=message):
        await server.symbols_named("x")
    assert not groups
    assert server.process_id is None


async def test_a_cancelled_question_leaves_the_server_usable(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    path = tmp_path / "a.py"
    path.write_text("one = 1\n" * 200)
    server = await workspace.language_server(path)
    assert await server.symbols_named("nothing") == []
    running = server.process_id
    for _ in range(3):
        with anyio.move_on_after(0):
            await server.references(Point(path, 1, 0))
    assert len(await server.references(Point(path, 1, 0))) == 200
    assert server.process_id == running


async def test_a_workspace_that_closes_ends_the_server_under_a_question(tmp_path: Path) -> None:
    workspace = LocalWorkspace([tmp_path])
    groups: set[ProcessGroup] = set()
    started = tmp_path / "started"
    script = f"echo >> {started}; exec sleep 60"
    server = LanguageServer(("/bin/sh", "-c", script), tmp_path, groups, workspace.read_text)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_refused, server)
            while not started.exists():
                await anyio.sleep(0.01)
            await server.aclose()
    await _refused(server)
    assert started.read_text() == "\n"
    assert not groups


async def _refused(server: LanguageServer) -> None:
    with pytest.raises(LanguageServerError, match="the session has ended"):
        await server.symbols_named("x")


class Editor:
    """The texts of an IDE's editors; of other files it shows what is on disk."""

    def __init__(self, texts: dict[Path, str]) -> None:
        self.texts = texts

    async def read(self, path: Path) -> str:
        return self.texts.get(path, path.read_text())


async def test_unsaved_texts_count_even_where_nobody_asked_for_them(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("one = 1\n")
    second.write_text("from a import one\nprint(one)\n")
    editor = Editor({first: "# new\none = 1\n", second: "\n\nfrom a import one\n"})
    workspace = IdeWorkspace(LocalWorkspace([tmp_path]), reader=editor)
    server = await workspace.language_server(first)
    assert spots(await server.references(Point(first, 2, 0))) == [
        ("a.py", 2, 0, 3),
        ("b.py", 3, 14, 17),
    ]
    editor.texts.clear()
    assert len(await server.references(Point(first, 1, 0))) == 3
    await workspace.aclose()


async def test_a_root_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    path = tmp_path / "link" / "a.py"
    path.write_text("one = 1\n")
    (tmp_path / "link" / "b.py").write_text("from a import one\n")
    workspace = LocalWorkspace([tmp_path / "link"])
    server = await workspace.language_server(path)
    found = await server.references(Point(path, 1, 0))
    assert [place.path for place in found] == [path, path.with_name("b.py")]
    await workspace.aclose()
