import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.workspace import file_search
from punie.workspace.base import WorkspaceError
from punie.workspace.file_search import _compiled
from punie.workspace.found import FoundFiles
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio

FILES = [
    "README.md",
    "src/app.py",
    "src/core/Models.py",
    "src/core/test_models.py",
    "tests/agent/test_app.py",
    "tests/agent/data.json",
    ".github/ci.yml",
    "build/app.py",
    ".git/config",
]


@pytest.fixture
def workspace(tmp_path: Path) -> LocalWorkspace:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".gitignore").write_text("build/\ndata.json\n")
    return LocalWorkspace([tmp_path])


async def _found(workspace: LocalWorkspace, pattern: str, path: str = ".") -> list[str]:
    found = await workspace.find_files(pattern, workspace.resolve(path), limit=50)
    assert found.total == len(found.paths)
    return [workspace.display(each) for each in found.paths]


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("models", ["src/core/Models.py", "src/core/test_models.py"]),
        ("*.md", ["README.md"]),
        ("test_*.py", ["src/core/test_models.py", "tests/agent/test_app.py"]),
        ("app.py", ["src/app.py", "tests/agent/test_app.py"]),
        ("src/*.py", ["src/app.py"]),
        ("core/*.py", ["src/core/Models.py", "src/core/test_models.py"]),
        ("src/**/*.py", ["src/app.py", "src/core/Models.py", "src/core/test_models.py"]),
        ("./src/**", ["src/app.py", "src/core/Models.py", "src/core/test_models.py"]),
        ("**/test_*", ["src/core/test_models.py", "tests/agent/test_app.py"]),
        ("agent/test", ["tests/agent/test_app.py"]),
        ("agent", ["tests/agent/test_app.py"]),
        ("agent/", ["tests/agent/test_app.py"]),
        ("*.{md,yml}", ["README.md", ".github/ci.yml"]),
        ("[mr]*", ["README.md", "src/core/Models.py"]),
        ("data.json", []),
        ("config", []),
        ("*", ["README.md", ".gitignore", "src/app.py", ".github/ci.yml"]),
    ],
)
async def test_patterns(workspace: LocalWorkspace, pattern: str, files: list[str]) -> None:
    found = await _found(workspace, pattern)
    if pattern == "*":
        assert set(files) < set(found)
        assert not any(name.startswith(("build/", ".git/")) for name in found)
    else:
        assert sorted(found) == sorted(files)


async def test_the_nearest_come_first(workspace: LocalWorkspace) -> None:
    assert await _found(workspace, "app") == ["src/app.py", "tests/agent/test_app.py"]
    found = await workspace.find_files("*.py", workspace.roots[0], limit=2)
    assert found.total == 4
    assert [workspace.display(path) for path in found.paths] == ["src/app.py", "src/core/Models.py"]


async def test_very_many_are_not_counted_and_always_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_search, "MAX_COLLECTED", 20)
    for number in range(30):
        path = tmp_path / f"{number:02}/deep" / f"{number:02}.py"
        path.parent.mkdir(parents=True)
        path.touch()
        (tmp_path / f"{number:02}" / "ignored.py").touch()
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    (tmp_path / "z.py").touch()
    workspace = LocalWorkspace([tmp_path])
    for _ in range(3):
        found = await workspace.find_files("*.py", tmp_path, limit=4)
        assert (found.total, found.more) == (20, True)
        assert [workspace.display(path) for path in found.paths][:1] == ["z.py"]
    few = await workspace.find_files("0*.py", tmp_path, limit=4)
    assert (few.total, few.more) == (10, False)


async def test_below_a_folder_and_in_an_ignored_one(workspace: LocalWorkspace) -> None:
    assert await _found(workspace, "*.py", "src/core") == [
        "src/core/Models.py",
        "src/core/test_models.py",
    ]
    assert await _found(workspace, "*.py", "build") == ["build/app.py"]


async def test_bad_input(workspace: LocalWorkspace) -> None:
    for pattern, path, sentence in [
        (" ", ".", "the pattern is empty"),
        ("[", ".", r"\[ is not a valid glob"),
        ("x/[", ".", r"x/\[ is not a valid glob"),
        ("x", "README.md", "README.md is a file, not a folder"),
        ("x", "scr", "there is no file or folder scr; did you mean src"),
    ]:
        with pytest.raises(WorkspaceError, match=sentence):
            await _found(workspace, pattern, path)


async def test_names_that_are_hard(tmp_path: Path) -> None:
    names = ["two\nlines.py", "a b.py", "ü.py", "-x.py", os.fsdecode(b"caf\xe9.py")]
    try:
        for name in names:
            (tmp_path / name).touch()
    except OSError:
        names.pop()  # this file system takes UTF-8 names only
    workspace = LocalWorkspace([tmp_path])
    found = await workspace.find_files("*.py", tmp_path, limit=50)
    assert {path.name for path in found.paths} == set(names)
    assert isinstance(found, FoundFiles)
    assert (await workspace.find_files("Ü", tmp_path, limit=5)).total == 1
    assert (await workspace.find_files("-X.py", tmp_path, limit=5)).total == 1


@settings(max_examples=200)
@given(
    pattern=st.text("ab/*?[]!{},.", min_size=1, max_size=8),
    path=st.text("ab/.", min_size=1, max_size=8),
)
def test_a_glob_never_fails_otherwise_and_globs_without_magic_are_names(
    pattern: str, path: str
) -> None:
    try:
        test = _compiled(pattern)
    except WorkspaceError:
        return
    matched = bool(test(f"/{path}".encode()))
    if not set(pattern) & set("*?[]{}"):
        assert matched == f"/{path}".endswith(f"/{pattern.lstrip('/')}")


def test_the_glob_test_agrees_with_ripgrep(tmp_path: Path) -> None:
    from punie.workspace.ripgrep import find_ripgrep

    for name in ("a/b/c.py", "a/c.py", "c.py", "a/b.py", "ab/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for pattern in ("**/c.py", "a/**/c.py", "a/*.py", "**/a/*", "a/?.py", "a?/*", "{a,ab}/c.*"):
        command = [str(find_ripgrep()), "--files", f"--glob=/{pattern}", "./"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        expected = {line[1:] for line in done.stdout.splitlines()}
        test = _compiled(pattern)
        every = [f"/{path.relative_to(tmp_path)}" for path in tmp_path.rglob("*") if path.is_file()]
        # Ours also matches the end of a longer path.
        assert expected <= {path for path in every if test(path.encode())}
