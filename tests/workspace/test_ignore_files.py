"""Which entries are ignored: ripgrep itself is what this is compared with."""

import subprocess
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from punie.workspace.ignore_files import ignored_names
from punie.workspace.ripgrep import EVERYWHERE, NOT_GIT, find_ripgrep

_NAMES = ("a", "b", "a.log", ".h")
_PATTERNS = st.sampled_from(
    ["a", "b", "*.log", "/a", "a/", "!a", "!*.log", "sub/a", "/sub/*", "!/sub/a", "**/b", ".*",
     "*", "# a", "", "[ab]", "!b/", "sub", "a/b", "\\#", "[", "**", "b ", "*/a"]
)  # fmt: skip
_FILES = st.dictionaries(
    st.sampled_from([".gitignore", ".ignore", "sub/.gitignore", "sub/.rgignore"]),
    st.lists(_PATTERNS, min_size=1, max_size=3),
    max_size=3,
)


def _listed_by_ripgrep(folder: Path) -> set[str]:
    arguments = [str(find_ripgrep()), *EVERYWHERE, "--files", NOT_GIT, "--", "./"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    return {line.removeprefix("./") for line in done.stdout.splitlines()}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ignores=_FILES)
def test_the_same_files_as_ripgrep(tmp_path: Path, ignores: dict[str, list[str]]) -> None:
    root = tmp_path / "project"
    for folder in (root, root / "sub"):
        for name in _NAMES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("x")
    for path in root.rglob(".*ignore"):
        path.unlink()
    for file, patterns in ignores.items():
        (root / file).write_text("\n".join(patterns) + "\n")
    listed = _listed_by_ripgrep(root)
    mine = set()
    entries = [(entry.name, entry.is_dir()) for entry in root.iterdir()]
    ignored = ignored_names(root, entries)
    for name, is_folder in entries:
        if name in ignored:
            continue
        if not is_folder:
            mine.add(name)
            continue
        inside = [(entry.name, False) for entry in (root / name).iterdir()]
        mine |= {f"{name}/{each}" for each, _ in inside} - {
            f"{name}/{each}" for each in ignored_names(root / name, inside)
        }
    assert mine == listed


def test_nothing_is_ignored_inside_an_ignored_folder(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("build/\n*.log\n")
    (tmp_path / "build/x").mkdir(parents=True)
    assert ignored_names(tmp_path, [("build", True), ("a", False)]) == {"build"}
    assert ignored_names(tmp_path / "build", [("a.log", False)]) == frozenset()
    assert ignored_names(tmp_path / "build/x", [("a.log", False)]) == frozenset()


def test_a_repository_ends_the_reach_of_gitignore_and_has_its_own_excludes(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("a\n")
    (tmp_path / ".ignore").write_text("b\n")
    info = tmp_path / "repo/.git/info"
    info.mkdir(parents=True)
    (info / "exclude").write_text("c\n")
    names = [(name, False) for name in ("a", "b", "c", ".git")]
    assert ignored_names(tmp_path / "repo", names) == {"b", "c", ".git"}


def test_no_pattern_takes_for_ever(tmp_path: Path) -> None:
    """Regular expressions made of these would try every way in which a name can be cut."""
    slow = ["*a" * 30 + "b", "**/a/" * 30 + "b", "\0" * 1_000_000]
    (tmp_path / ".gitignore").write_text("\n".join([*slow, "*.pyc", "**/build/**/*.py[co]"]))
    entries = [("a" * 200, False), ("x.pyc", False)]
    assert ignored_names(tmp_path, entries) == {"x.pyc"}
