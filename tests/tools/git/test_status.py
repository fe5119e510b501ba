import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.tools.git.repository import find_repository
from punie.tools.git.status import ChangedFile, Status, parse_status, read_status
from tests.tools.git.conftest import Repo, commit_all, git, repo_at

pytestmark = pytest.mark.anyio


async def test_every_state(repo: Repo) -> None:
    for name in ("a.py", "b.py", "both.py", "gone.py", "kept.py", "old.py"):
        repo.file(name, f"{name}\n" * 10)
    repo.commit()
    assert await repo.ask("status") == "branch main\nnothing changed"
    repo.file("both.py", "staged\n")
    repo.file("a.py", "staged\n")
    repo.git("add", "both.py", "a.py")
    repo.file("both.py", "and changed again\n")
    repo.file("b.py", "not staged\n")
    repo.git("rm", "-q", "gone.py")
    (repo.root / "kept.py").unlink()
    repo.git("mv", "old.py", "new.py")
    repo.file("untracked.py", "x\n")
    repo.file("folder/in.py", "x\n")
    result = await repo.result("git", command="status")
    assert result.text == (
        "branch main\n"
        "staged:\n  modified a.py\n  modified both.py\n  deleted gone.py\n"
        "  renamed old.py -> new.py\n"
        "not staged:\n  modified b.py\n  modified both.py\n  deleted kept.py\n"
        "untracked:\n  folder/\n  untracked.py"
    )
    assert result.presentation.title == "git status: 8 changes"
    assert result.presentation.kind == "read"
    assert "not staged:\n  modified b.py" in await repo.ask("status", "b.py")
    assert "a.py" not in await repo.ask("status", "b.py")


async def test_an_empty_repository(repo: Repo) -> None:
    repo.file("a.py", "a\n")
    assert await repo.ask("status") == "branch main, no commits yet\nuntracked:\n  a.py"
    assert await repo.ask("log") == "no commits"
    assert await repo.ask("diff") == "no differences in tracked files"
    repo.git("add", "a.py")
    assert "+++ b/a.py\n@@ -0,0 +1 @@\n+a" in await repo.ask("diff")
    for command in ("show", "blame"):
        answer = await repo.ask(command, "a.py")
        assert answer == "error: the repository has no commits yet"


async def test_detached_and_upstream(repo: Repo, tmp_path: Path) -> None:
    repo.file("a", "1\n")
    first = repo.commit()
    git(tmp_path, "clone", "-q", str(repo.root), "copy")
    copy = repo_at(tmp_path / "copy")
    assert await copy.ask("status") == "branch main, even with origin/main\nnothing changed"
    repo.file("b", "1\n")
    repo.commit()
    copy.git("fetch", "-q")
    copy.file("c", "1\n")
    copy.commit()
    assert "branch main, 1 commit ahead of and 1 commit behind origin/main" in await copy.ask(
        "status"
    )
    repo.git("checkout", "-q", first)
    assert await repo.ask("status") == f"detached at {first[:10]}\nnothing changed"


async def test_a_conflict(repo: Repo) -> None:
    repo.file("a", "1\n")
    repo.commit()
    repo.git("checkout", "-q", "-b", "side")
    repo.file("a", "side\n")
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.file("a", "main\n")
    repo.commit()
    repo.git("merge", "side", fails=True)
    assert await repo.ask("status") == "branch main\nin conflict:\n  a (modified by both)"
    assert "++<<<<<<< HEAD" in await repo.ask("diff", ref="unstaged")
    assert "not committed yet:\n1:<<<<<<<" in await repo.ask("blame", "a")


async def test_names_that_no_line_can_hold(repo: Repo) -> None:
    names = [b'quo"te', b"new\nline", b"\xff\xfe.py", b"caf\xc3\xa9", b" lead", b"a -> b", b"-rf"]
    for name in names:
        (repo.root / os.fsdecode(name)).write_text("x\n")
    repo.git("add", "--all")
    text = await repo.ask("status")
    assert text.split("\n")[2:] == [
        "  added  lead",
        "  added -rf",
        "  added a -> b",
        "  added café",
        "  added new\\nline",
        '  added quo"te',
        "  added \\udcff\\udcfe.py",
    ]
    text.encode()
    assert "  added -rf" in await repo.ask("status", "-rf")
    assert "+++ b/-rf" in await repo.ask("diff", "-rf")
    (await repo.ask("diff")).encode()


async def test_submodules_and_linked_work_trees(repo: Repo, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    (other / "lib.py").write_text("x = 1\n")
    commit_all(other, "The library")
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "lib")
    repo.commit()
    (repo.root / "lib/new.py").write_text("x\n")
    commit_all(repo.root / "lib", "Newer")
    assert await repo.ask("status") == ("branch main\nnot staged:\n  modified lib (submodule)")
    assert "Subproject commit" in await repo.ask("diff")
    assert "Newer" in await repo.ask("log", "lib/new.py")
    repo.git("worktree", "add", "-q", "-b", "second", str(tmp_path / "second"))
    second = repo_at(tmp_path / "second")
    assert await second.ask("status") == "branch second\nnothing changed"
    sub = repo_at(repo.root / "lib")
    assert "Newer" in await sub.ask("log")


async def test_a_workspace_inside_of_a_repository(repo: Repo) -> None:
    repo.file("outside.py", "secret = 1\n")
    repo.file("sub/in.py", "x = 1\n")
    repo.file("sub/sub/in.py", "x = 1\n")
    repo.commit("Both")
    repo.file("outside.py", "secret = 2\n")
    repo.file("sub/in.py", "x = 2\n")
    repo.file("sub/sub/in.py", "x = 2\n")
    repo.file("new.py", "")
    inner = repo_at(repo.root / "sub")
    assert await inner.ask("status") == (
        "branch main\nnot staged:\n  modified in.py\n  modified sub/in.py"
    )
    for command, ref in (("diff", None), ("diff", "HEAD"), ("show", None)):
        answer = await inner.ask(command, ref=ref)
        assert "2 files" in answer
        assert "+++ b/in.py" in answer
        assert "+++ b/sub/in.py" in answer
        assert "secret" not in answer
        assert "outside" not in answer
    assert "outside the workspace" in await inner.ask("diff", "../outside.py")


async def test_a_repository_inside_of_a_workspace(repo: Repo) -> None:
    repo.file("pkg/sub/a.py", "x = 1\n")
    git(repo.root / "pkg", "init", "-q", "-b", "inner")
    commit_all(repo.root / "pkg")
    repo.file("pkg/sub/a.py", "x = 2\n")
    assert await repo.ask("status", "pkg") == ("branch inner\nnot staged:\n  modified pkg/sub/a.py")
    assert "+++ b/pkg/sub/a.py" in await repo.ask("diff", "pkg/sub/a.py")
    assert "x = 2" in await repo.ask("blame", "pkg/sub/a.py:1-1")


async def test_no_repository(tmp_path: Path) -> None:
    plain = repo_at(tmp_path)
    assert await plain.ask("status") == "error: this folder is not in a git repository"
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    assert "no files of a work tree" in await plain.ask("status", "bare.git")


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "add", "remove", "rm", "mv", "commit"]),
        st.sampled_from(["a", "b c", "d/e", "d/f", '"q"', "é\n"]),
        st.sampled_from(["a", "b c", "d/e", "g", '"q"', "é\n"]),
        st.integers(0, 3),
    ),
    max_size=14,
)


def apply(root: Path, operation: str, name: str, other: str, content: int) -> None:
    path = root / name
    match operation:
        case "write":
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{content}\n" * 6 + name)
        case "add":
            git(root, "add", "--all", "--", f":(literal){name}") if path.exists() else None
        case "remove":
            path.unlink(missing_ok=True)
        case "rm":
            git(root, "rm", "-q", "-f", "--ignore-unmatch", "--", name)
        case "mv":
            if git(root, "ls-files", "--", name) and path.exists() and not (root / other).exists():
                (root / other).parent.mkdir(exist_ok=True)
                git(root, "mv", "--", name, other)
        case "commit":
            git(root, "commit", "-q", "--allow-empty", "-m", "x")


def plain_status(root: Path) -> set[tuple[str, str, str | None]]:
    """Read porcelain v1, another format, in the simplest way: code, path and original path."""
    words = git(root, "status", "--porcelain=v1", "-z", "--untracked-files=normal").decode()
    entries = iter(words.split("\0"))
    return {
        (entry[:2], entry[3:], next(entries) if "R" in entry[:2] else None)
        for entry in entries
        if entry
    }


LETTERS = {"modified": "M", "added": "A", "deleted": "D", "renamed": "R", None: " "}


def as_plain(status: Status) -> set[tuple[str, str, str | None]]:
    return {
        (LETTERS[file.staged] + LETTERS[file.unstaged], file.path, file.original)
        for file in status.changed
    } | {("??", path, None) for path in status.untracked}


@given(OPERATIONS)
@settings(max_examples=20)
async def test_status_says_what_another_format_says(
    operations: list[tuple[str, str, str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        git(root, "init", "-q", "-b", "main")
        for operation in operations:
            apply(root, *operation)
        bench = repo_at(root)
        repository = await find_repository(bench.context, root)
        status = await read_status(bench.context, repository)
        assert as_plain(status) == plain_status(root)
        assert status.branch == "main"


def test_blanks_of_the_first_entry_are_kept() -> None:
    entry = "1 .M N... 100644 100644 100644 1 2  lead.py\0"
    assert parse_status(entry) == Status(
        None, None, changed=(ChangedFile(" lead.py", unstaged="modified"),)
    )
