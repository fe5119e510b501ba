"""What commands do to files is written down and taken back."""

import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from punie.workspace.base import CommandRequest
from punie.workspace.checkpoints import baseline, planning, states, tree, watching
from tests.agent.checkpointed import Project

pytestmark = pytest.mark.anyio


@pytest.fixture
async def project(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Project]:
    project = Project(tmp_path / "project", tmp_path / "kept")
    (project.root / "a.py").write_bytes(b"one\n")
    (project.root / "b.bin").write_bytes(b"\0\xff\r\n")
    (project.root / "sub/deep").mkdir(parents=True)
    (project.root / "sub/deep/c.txt").write_bytes(b"\xef\xbb\xbfsea\r\n")
    (project.root / "link").symlink_to("a.py")
    yield project
    await project.aclose()


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )


COMMANDS = {
    "changes": "printf two > a.py; printf x >> b.bin",
    "creates": "mkdir -p new/empty new/x; echo n > new/x/file; ln -s x new/link",
    "deletes": "rm -r sub a.py link",
    "moves": "mv sub other; mv a.py other/deep",
    "changes the kind": "rm a.py; mkdir a.py; echo x > a.py/x; rm -r sub; echo file > sub",
    "links": "rm a.py; ln -s b.bin a.py; ln -sfn sub link",
    "leaves read-only": "echo ro > a.py; chmod 444 a.py; echo x > new; chmod 444 new",
    "odd names": """touch 'a b' "$(printf 'new\\nline')" -- -dash; : > "$(printf 'b\\377')" """,
}


@pytest.mark.parametrize("what", COMMANDS)
async def test_what_a_command_did_goes_back_and_comes_again(project: Project, what: str) -> None:
    before = project.files()
    project.begin()
    await project.command(COMMANDS[what])
    after = project.files()
    assert after != before
    answer = await project.undo()
    assert "Not taken back" not in answer
    assert project.files() == before
    project.restart()
    await project.redo()
    assert project.files() == after


async def test_permission_bits_are_a_change(project: Project) -> None:
    (project.root / "a.py").chmod(0o640)
    project.begin()
    await project.command("chmod +x a.py")
    assert "`a.py` is as it was before" in await project.undo()
    assert (project.root / "a.py").stat().st_mode & 0o777 == 0o640
    await project.redo()
    assert (project.root / "a.py").stat().st_mode & 0o777 == 0o751


async def test_what_only_looks_leaves_nothing(project: Project) -> None:
    project.begin()
    await project.command("cat a.py; touch a.py; cp a.py x; mv x a.py; ls -la")
    assert project.changes() == []


async def test_the_persons_changes_before_and_after_a_command_stay(project: Project) -> None:
    project.begin()
    await project.command("true")
    (project.root / "mine.txt").write_bytes(b"mine")
    (project.root / "b.bin").write_bytes(b"mine")
    await project.command("printf two > a.py; printf x > b.bin")
    (project.root / "a.py").write_bytes(b"mine too")
    answer = await project.undo()
    assert "a.py was changed since then and was left as it is" in answer
    assert (project.root / "a.py").read_bytes() == b"mine too"
    assert (project.root / "b.bin").read_bytes() == b"mine"
    assert (project.root / "mine.txt").read_bytes() == b"mine"


async def test_edits_and_commands_in_one_turn(project: Project) -> None:
    states_ = [project.files()]
    for line in ("sed -i s/one/1/ a.py", "cp a.py c.py; rm -r sub"):
        project.begin()
        await project.edit("a.py", f"one {len(states_)}\n")
        await project.command(line)
        await project.edit("d.py", f"{len(states_)}\n")
        await project.command("cat d.py >> a.py")
        states_.append(project.files())
    await project.undo()
    assert project.files() == states_[1]
    await project.undo()
    assert project.files() == states_[0]
    await project.redo(2)
    assert project.files() == states_[2]


async def test_a_change_in_the_same_moment_is_found(project: Project) -> None:
    """The times of a file do not tell of it: it is as long, and nothing took any time."""
    project.begin()
    path = project.root / "a.py"
    for number in range(20):
        path.write_bytes(b"%04d" % number)
        async with project.workspace.watch.around():
            path.write_bytes(b"%04d" % (number + 50))
    assert len(project.changes()) == 20


async def test_ignored_files_caches_and_environments_are_left_out(project: Project) -> None:
    (project.root / ".gitignore").write_text("*.log\nbuild/\n")
    (project.root / "env").mkdir()
    (project.root / "env/pyvenv.cfg").write_text("")
    project.begin()
    await project.command(
        "mkdir -p build node_modules __pycache__ .git/x; "
        "touch a.log build/x node_modules/x __pycache__/x .git/x/y env/x"
    )
    assert project.changes() == []


async def test_new_ignore_rules_neither_delete_nor_create(project: Project) -> None:
    (project.root / ".gitignore").write_text("*.log\n")
    (project.root / "old.log").write_text("old")
    time.sleep(0.06)
    project.begin()
    await project.command("printf 'sub/\\n' > .gitignore; echo x > new.log")
    assert {change.path.name for change in project.changes()} == {".gitignore", "new.log"}
    await project.undo()
    assert (project.root / "old.log").read_text() == "old"
    assert (project.root / "sub/deep/c.txt").exists()


async def test_what_git_has_is_not_copied(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "w\xf6rd s.txt").write_bytes(b"word\r\n")
    git(project.root, "init", "-q")
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", "x")
    (project.root / "b.bin").write_bytes(b"changed")
    (project.root / "untracked").write_bytes(b"untracked")
    for name in ("a.py", "w\xf6rd s.txt", "sub/deep/c.txt"):
        os.utime(project.root / name, ns=(1_700_000_000_123_456_789,) * 2)
    git(project.root, "add", "-u", "--", "a.py", "w\xf6rd s.txt", "sub")
    time.sleep(0.02)
    copied: list[str] = []
    copy = baseline.Baseline._copy

    def note(self: baseline.Baseline, path: str) -> object:
        copied.append(Path(path).name)
        return copy(self, path)

    monkeypatch.setattr(baseline.Baseline, "_copy", note)
    before = project.files()
    project.begin()
    await project.command("rm -r a.py b.bin untracked sub *.txt")
    assert sorted(copied) == ["b.bin", "untracked"]
    await project.undo()
    assert project.files() == before
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=project.root, capture_output=True, text=True
    )
    assert status.stdout == " M b.bin\n?? untracked\n"


@pytest.mark.parametrize("version", ["2", "4"])
async def test_what_git_changes_on_its_way_is_never_taken_for_the_file(
    project: Project, version: str
) -> None:
    git(project.root, "init", "-q")
    git(project.root, "config", "index.version", version)
    git(project.root, "config", "core.autocrlf", "true")
    git(project.root, "config", "filter.rot.clean", "tr a-z b-za")
    git(project.root, "config", "filter.rot.smudge", "tr a-z zа-y")
    (project.root / ".gitattributes").write_text("*.rot filter=rot\n")
    (project.root / "x.rot").write_bytes(b"abc")
    (project.root / "crlf.txt").write_bytes(b"a\r\nb\r\n")
    (project.root / "plain.txt").write_bytes(b"abc")
    for path in project.root.glob("*.*"):
        os.utime(path, ns=(1_700_000_000_123_456_789,) * 2)
    git(project.root, "add", ".")
    project.begin()
    before = project.files()
    await project.command("rm x.rot crlf.txt plain.txt")
    answer = await project.undo()
    assert "Not taken back" not in answer
    assert project.files() == before
    # Where no file says so, it shows in the size.
    (project.root / ".gitattributes").unlink()
    git(project.root, "config", "--unset", "core.autocrlf")
    for name in ("plain.txt", "crlf.txt"):
        os.utime(project.root / name, ns=(1_700_000_000_123_456_789,) * 2)
    git(project.root, "-c", "core.autocrlf=true", "add", "plain.txt", "crlf.txt")
    project.restart()
    project.begin()
    await project.command("rm crlf.txt plain.txt")
    answer = await project.undo()
    assert "`plain.txt` is as it was before" in answer
    assert "- crlf.txt stays, because it was too large, or too much, to be kept" in answer


async def test_too_large_files_are_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (states, baseline, watching):
        monkeypatch.setattr(module, "MAX_KEPT_BYTES", 100)
    (project.root / "big").write_bytes(b"x" * 200)
    project.begin()
    await project.command("echo y >> big; echo z > a.py; head -c 300 /dev/zero > big2")
    answer = await project.undo()
    assert "- big stays, because it was too large, or too much, to be kept" in answer
    assert "- big2 stays" in answer
    assert (project.root / "a.py").read_bytes() == b"one\n"
    assert (project.root / "big").stat().st_size == 202


async def test_too_many_files_are_told_of(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MAX_ENTRIES", 3)
    project.begin()
    await project.command("echo x > a.py")
    reason = "What commands did to files is not taken back, because this folder has more than 3"
    assert reason in await project.undo()
    assert project.workspace.watch.take_notice().startswith(reason)
    assert project.workspace.watch.take_notice() == ""
    # It is not tried again in this session.
    monkeypatch.setattr(tree, "MAX_ENTRIES", 100)
    project.begin()
    await project.command("echo y > a.py")
    assert reason in project.journal()[-1].gaps[-1]
    assert project.changes() == []
    project.restart()
    project.begin()
    monkeypatch.setattr(watching, "MAX_CHANGED", 2)
    await project.command("touch 1 2 3")
    assert "a command changed more than 2 files" in project.journal()[-1].gaps[-1]


async def test_a_command_in_the_background_counts_until_its_turn_ends(project: Project) -> None:
    watch = project.workspace.watch
    project.begin()
    request = CommandRequest(
        "echo 1 > one; sleep 1.2; echo 2 > two; exec sleep 60", project.root, 9
    )
    async with watch.around():
        started = await project.workspace.start(request)
    await project.edit("a.py", "edited once\n")
    await project.edit("a.py", "edited twice\n")
    with anyio.fail_after(10):
        while not (project.root / "two").exists():
            await anyio.sleep(0.02)
    await watch.end_turn()
    assert [change.path.name for change in project.changes()] == ["one", "a.py", "a.py", "two"]
    (project.root / "mine").write_text("mine")
    project.begin()
    async with watch.around():
        await project.workspace.background_output(started.id, stop=True)
    answer = await project.undo()
    assert "in the background did after its turn is not taken back" in answer
    assert (project.root / "a.py").read_bytes() == b"one\n"
    assert (project.root / "mine").exists()
    assert not (project.root / "two").exists()


async def test_stand_ins_of_the_sandbox_are_no_change(project: Project) -> None:
    watch = project.workspace.watch
    project.begin()
    async with watch.around():
        (project.root / ".idea").mkdir()
        (project.root / "made").mkdir()
    assert [change.path.name for change in project.changes()] == ["made"]
    async with watch.around():
        (project.root / ".idea").rmdir()
    assert [change.path.name for change in project.changes()] == ["made"]
    async with watch.around():
        (project.root / ".idea").mkdir()
        (project.root / ".idea/real.xml").write_text("<x/>")
    await project.undo()
    assert not (project.root / ".idea").exists()
    assert not (project.root / "made").exists()


async def test_a_folder_alone_is_told_of(project: Project) -> None:
    project.begin("Make it")
    async with project.workspace.watch.around():
        (project.root / "made").mkdir()
    assert await project.undo() == (
        "The file changes of the turn “Make it” are taken back:\n\n- `made` is removed"
    )
    assert (await project.redo()).endswith("- `made` is there again")


async def test_a_command_that_is_cancelled_or_fails_counts_too(project: Project) -> None:
    project.begin()
    with anyio.move_on_after(1):
        await project.command("echo x > a.py; sleep 60")
    with pytest.raises(AssertionError):
        await project.command("echo y > c.py; exit 3")
    assert {change.path.name for change in project.changes()} == {"a.py", "c.py"}


async def test_trouble_with_the_checkpoints_keeps_no_command_from_running(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    project.kept = tmp_path / "file/kept"
    project.restart()
    project.begin()
    assert await project.command("echo x > a.py; cat a.py") == "x\n"
    assert "not a directory" in project.workspace.watch.take_notice()


async def test_a_state_folder_in_the_project_is_left_out(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", tmp_path / "project/.state/session")
    for text in ("one", "two"):
        project.begin()
        await project.command(f"echo {text} > a")
    assert {change.path.name for change in project.changes()} == {"a"}
    await project.aclose()


async def test_a_name_in_another_case_is_not_the_same_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that takes both as one, the old name still leads to the file."""
    project.begin()
    await project.command("mv a.py A.py")
    (project.root / "a.py").hardlink_to(project.root / "A.py")
    monkeypatch.setattr(planning, "is_named_so", lambda path: path.name == "A.py")
    steps = (await planning.plan_moves(project.journal(), project.workspace, "undo", 1)).steps
    assert [(step.path.name, step.needless) for step in steps] == [("A.py", False), ("a.py", False)]
