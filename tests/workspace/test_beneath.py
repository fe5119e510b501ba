"""Files are reached beneath the root even while somebody swaps folders for links."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from punie.workspace.base import OutsideWorkspaceError, WorkspaceError
from punie.workspace.beneath import hold
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio

CANARY = "the canary outside\n"
ROUNDS = 150


# Swaps the folder `a` of the project for a link to a folder outside, and back, all the time. There
# is a moment without either; what is then made in its place goes.
SWAPPER = """
import os, select, shutil, sys
root, outside = sys.argv[1:]
place, aside, link = (os.path.join(root, name) for name in ("a", ".aside", ".link"))
def put(what):
    while True:
        try:
            return os.rename(what, place)
        except OSError:
            shutil.rmtree(place, ignore_errors=True)
swaps = 0
print("swapping", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    os.symlink(outside, link)
    os.rename(place, aside)
    put(link)
    os.unlink(place)
    put(aside)
    swaps += 1
print(swaps)
"""


@contextlib.contextmanager
def swapping(root: Path, outside: Path) -> Iterator[None]:
    """Let another process swap folders meanwhile."""
    arguments = [sys.executable, "-SE", "-c", SWAPPER, str(root), str(outside)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            said, _ = process.communicate("stop\n", timeout=20)
    assert int(said) > 10


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    root, outside = tmp_path / "project", tmp_path / "outside"
    for folder, text in ((root / "a", "inside\n"), (outside, CANARY)):
        (folder / "deep").mkdir(parents=True)
        (folder / "f.txt").write_text(text)
        (folder / "deep" / "f.txt").write_text(text)
        (folder / ("mine" if text != CANARY else "canary")).write_text("")
    return root, outside


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


@contextlib.contextmanager
def unharmed(outside: Path) -> Iterator[None]:
    before = snapshot(outside)
    yield
    assert snapshot(outside) == before


Use = Callable[[LocalWorkspace, Path], Awaitable[object]]


async def _read(workspace: LocalWorkspace, root: Path) -> object:
    return (await workspace.read_text(root / "a" / "deep" / "f.txt")).text


async def _read_lines(workspace: LocalWorkspace, root: Path) -> object:
    return (await workspace.read_lines(root / "a" / "f.txt", 1, None, limit=100)).lines


async def _list(workspace: LocalWorkspace, root: Path) -> object:
    return [entry.name for entry in await workspace.list_dir(root / "a")]


async def _write(workspace: LocalWorkspace, root: Path) -> object:
    await workspace.write_text(root / "a" / "deep" / "f.txt", "inside\n")
    return await workspace.write_text(root / "a" / "new" / "f.txt", "inside\n")


async def _change(workspace: LocalWorkspace, root: Path) -> object:
    file = await workspace.read_text(root / "a" / "f.txt")
    return (file.text, await workspace.write_text(file.path, "inside\n", like=file))


async def _move(workspace: LocalWorkspace, root: Path) -> object:
    (root / "m.txt").write_text("inside\n")
    await workspace.move(root / "m.txt", root / "a" / "moved.txt")
    await workspace.move(root / "a" / "f.txt", root / "got.txt")
    return None


async def _delete(workspace: LocalWorkspace, root: Path) -> object:
    await workspace.delete(root / "a" / "f.txt")
    return None


async def test_nothing_outside_is_reached_while_links_are_swapped(
    places: tuple[Path, Path],
) -> None:
    root, outside = places
    workspace = LocalWorkspace([root])
    done = 0
    with unharmed(outside), swapping(root, outside):
        for use in [_read, _read_lines, _list, _write, _change, _move, _delete] * ROUNDS:
            with contextlib.suppress(WorkspaceError, FileNotFoundError):
                told = str(await use(workspace, root))
                assert "canary" not in told
                done += 1
            got = root / "got.txt"
            if got.exists():
                assert got.read_text() == "inside\n"
                got.unlink()
    assert done > 20
    await workspace.aclose()


def test_a_link_that_came_between_is_not_followed(places: tuple[Path, Path]) -> None:
    root, outside = places
    shutil.rmtree(root / "a")
    (root / "a").symlink_to(outside)
    # As if it had been a folder when the path was resolved.
    with (
        pytest.raises(OutsideWorkspaceError, match="became a symbolic link just now"),
        hold(root, root / "a" / "f.txt"),
    ):
        pass
    with unharmed(outside), pytest.raises(OutsideWorkspaceError):  # noqa: SIM117
        with hold(root, root / "a" / "new" / "f.txt", create=True):
            pass
    (root / "last").symlink_to(outside / "f.txt")
    with hold(root, root / "last") as held:
        with pytest.raises(OSError, match="symbolic links"):
            held.open()
        held.unlink()
    assert (outside / "f.txt").read_text() == CANARY


async def test_links_that_lead_inside_stay_usable(places: tuple[Path, Path]) -> None:
    root, _ = places
    workspace = LocalWorkspace([root])
    (root / "link").symlink_to("a/deep")
    (root / "file").symlink_to(root / "a" / "f.txt")
    path = workspace.resolve("link/f.txt")
    assert (await workspace.read_text(path)).text == "inside\n"
    await workspace.write_text(workspace.resolve("link/new.txt"), "x\n")
    assert (root / "a" / "deep" / "new.txt").read_text() == "x\n"
    await workspace.write_text(workspace.resolve("file"), "y\n")
    assert (root / "a" / "f.txt").read_text() == "y\n"
    assert (root / "file").is_symlink()
    await workspace.aclose()


async def test_a_root_that_is_a_link_and_folders_without_read_permission(tmp_path: Path) -> None:
    (tmp_path / "real" / "closed").mkdir(parents=True)
    (tmp_path / "real" / "closed" / "f.txt").write_text("x\n")
    (tmp_path / "root").symlink_to("real")
    os.chmod(tmp_path / "real" / "closed", 0o111)  # noqa: PTH101
    workspace = LocalWorkspace([tmp_path / "root"])
    assert (await workspace.read_text(tmp_path / "root" / "closed" / "f.txt")).text == "x\n"
    assert [entry.name for entry in await workspace.list_dir(tmp_path / "root")] == ["closed"]
    os.chmod(tmp_path / "real" / "closed", 0o755)  # noqa: PTH101
    await workspace.aclose()


async def test_pipes_and_devices_are_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    workspace = LocalWorkspace([tmp_path])
    for use in (
        workspace.read_text(tmp_path / "pipe"),
        workspace.read_lines(tmp_path / "pipe", 1, None, limit=10),
        workspace.write_text(tmp_path / "pipe", "x"),
    ):
        with pytest.raises(WorkspaceError, match="pipe is not a regular file"):
            await use
    assert (await workspace.info(tmp_path / "pipe")).kind == "other"
    await workspace.delete(tmp_path / "pipe")
    assert not (tmp_path / "pipe").exists()
    await workspace.aclose()


async def test_a_hundred_folders_deep(tmp_path: Path) -> None:
    path = tmp_path.joinpath(*(f"d{number}" for number in range(100))) / "f.txt"
    workspace = LocalWorkspace([tmp_path])
    written = await workspace.write_text(path, "deep\n")
    assert (await workspace.read_text(path)).digest == written.digest
    await workspace.move(path, path.with_name("g.txt"))
    await workspace.delete(path.with_name("g.txt"))
    assert [entry.name for entry in await workspace.list_dir(path.parent)] == []
    await workspace.aclose()


async def test_no_descriptor_stays_open(places: tuple[Path, Path]) -> None:
    root, outside = places
    workspace = LocalWorkspace([root])
    (root / "out").symlink_to(outside)

    async def everything() -> None:
        for use in (_read, _read_lines, _list, _write, _change):
            await use(workspace, root)
        for path in (root / "missing" / "f", root / "out" / "f.txt", root / "a" / "f.txt" / "x"):
            with pytest.raises(WorkspaceError):
                await workspace.read_text(path)

    await everything()
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    for _ in range(20):
        await everything()
    assert len(os.listdir("/dev/fd")) <= before + 1  # noqa: PTH208
    await workspace.aclose()
