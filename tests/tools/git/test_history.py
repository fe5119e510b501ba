from pathlib import Path

import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.tools.git.history import BlamedLine, parse_blame
from punie.workspace.base import TextFile
from punie.workspace.local import LocalWorkspace
from tests.tools.git.conftest import Repo, git, repo_at

pytestmark = pytest.mark.anyio


async def test_diffs_between_states(repo: Repo) -> None:
    repo.file("a.py", "one\n")
    first = repo.commit("First")
    repo.file("a.py", "two\n")
    repo.commit("Second")
    repo.file("a.py", "three\n")
    repo.git("add", "a.py")
    repo.file("a.py", "four\n")
    for ref, old, new in (
        (None, "two", "four"),
        ("staged", "two", "three"),
        ("unstaged", "three", "four"),
        (first[:10], "one", "four"),
        ("HEAD~1..HEAD", "one", "two"),
        ("HEAD~1...", "one", "two"),
        ("main..HEAD~1", "two", "one"),
    ):
        result = await repo.result("git", command="diff", ref=ref)
        assert result.text.startswith("1 file, +1 -1\ndiff --git a/a.py b/a.py\n"), ref
        assert result.text.endswith(f"@@ -1 +1 @@\n-{old}\n+{new}"), ref
        [content] = result.presentation.content
        assert content.type == "text"
        assert content.text.startswith("```diff\n1 file")
    assert await repo.ask("diff", ref="HEAD..HEAD") == "no differences"


async def test_renames_binary_files_and_modes(repo: Repo) -> None:
    repo.file("old.py", "x\n" * 20)
    repo.file("run.sh", "true\n")
    (repo.root / "data").write_bytes(b"a\0b")
    repo.commit()
    repo.git("mv", "old.py", "new.py")
    (repo.root / "data").write_bytes(b"a\0c")
    (repo.root / "run.sh").chmod(0o755)
    text = await repo.ask("diff")
    assert "rename from old.py\nrename to new.py" in text
    assert "Binary files a/data and b/data differ" in text
    assert "new mode 100755" in text
    cut = await repo.limited(result_chars=230).text("git", command="diff")
    assert cut.split("\n")[:4] == [
        "3 files, +0 -0",
        "data binary (modified)",
        "old.py -> new.py +0 -0 (renamed)",
        "run.sh +0 -0 (modified)",
    ]


async def test_a_large_diff_is_cut_and_says_how_to_go_on(repo: Repo) -> None:
    for name in "abc":
        repo.file(f"{name}.py", "".join(f"{name}{number}\n" for number in range(200)))
    repo.commit()
    small = repo.limited(result_chars=1_000)
    text = await small.text("git", command="show")
    assert len(text) <= 1_000
    assert text.split("\n")[1:] == [
        "3 files, +600 -0",
        "a.py +200 -0 (added)",
        "b.py +200 -0 (added)",
        "c.py +200 -0 (added)",
        "(diffs of 0 of 3 files; narrow with path)",
    ]
    one = await small.text("git", command="show", path="b.py")
    assert len(one) <= 1_000
    assert "+b0\n+b1\n" in one
    assert one.endswith("(the diff of this file is cut; read_file shows the file)")


async def test_contents_that_are_no_text_can_be_written_down(repo: Repo) -> None:
    repo.file("a", "a\n")
    repo.commit()
    (repo.root / "a").write_bytes(b"caf\xe9\r\nbell \x07 return \r end\n")
    text = await repo.ask("diff")
    text.encode()
    assert text.endswith("-a\n+caf�\n+bell � return � end")


async def test_the_log(repo: Repo) -> None:
    assert await repo.ask("log") == "no commits"
    for number in range(25):
        repo.file("a" if number % 2 else "b", f"{number}\n")
        repo.commit(f"Change {number}\n\nwith a body")
    repo.git("tag", "v1", "HEAD~1")
    rows = (await repo.ask("log")).split("\n")
    short = repo.git("rev-parse", "--short", "HEAD").decode().strip()
    assert rows[0] == f"{short} 2026-01-02 Ada: Change 24 (HEAD -> main)"
    assert rows[1].endswith(" 2026-01-02 Ada: Change 23 (tag: v1)")
    assert len(rows) == 21
    trailer = rows[-1]
    assert trailer.startswith("(older ones: ref=")
    older = await repo.ask("log", ref=trailer[len("(older ones: ref=") : -1])
    assert [row.rsplit(" ", 1)[1] for row in older.split("\n")] == ["4", "3", "2", "1", "0"]
    assert len((await repo.ask("log", "a")).split("\n")) == 12
    assert (await repo.ask("log", ref="v1..main")).count("\n") == 0
    repo.git("mv", "a", "c")
    repo.commit("Moved")
    assert "Change 1" in await repo.ask("log", "c")


async def test_a_commit(repo: Repo) -> None:
    repo.file("a", "a\n")
    repo.file("b", "b\n")
    repo.commit("Begin\n\nWhy it began.\n\nAnd more.")
    text = await repo.ask("show")
    assert text.split("\n")[1:5] == ["Why it began.", "", "And more.", "2 files, +2 -0"]
    assert "+++ b/a" in text
    only = await repo.ask("show", "b", "HEAD")
    assert "+++ b/a" not in only
    assert "+++ b/b" in only
    repo.git("tag", "-a", "-m", "annotated", "v1")
    assert "Begin" in await repo.ask("show", ref="v1")
    repo.git("checkout", "-q", "-b", "side")
    repo.file("c", "c\n")
    repo.commit("Side")
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "Merge", "side")
    merge = await repo.ask("show")
    assert "; the diff is with the first of them\n1 file, +1 -0" in merge


async def test_names_that_are_no_commit(repo: Repo) -> None:
    repo.file("a", "a\n")
    repo.commit()
    repo.git("branch", "feature")
    for ref, answer in (
        ("featrue", 'there is no commit, branch or tag "featrue"; did you mean feature?'),
        ("zzz", 'there is no commit, branch or tag "zzz"; log shows which commits there are'),
        ("HEAD:a", 'there is no commit, branch or tag "HEAD:a"; '),
        ("--output=x", '"--output=x" is not the name of a commit, branch or tag'),
        ("-O/etc/passwd..HEAD", '"-O/etc/passwd" is not the name of a commit, branch or tag'),
        ("a\nb", '"a …" is not the name of a commit, branch or tag'),
    ):
        for command in ("diff", "log", "show"):
            assert (await repo.ask(command, ref=ref)).startswith(f"error: {answer}")
    assert "is a range; name one commit" in await repo.ask("show", ref="HEAD..main")
    assert "takes no ref" in await repo.ask("status", ref="HEAD")
    assert not (repo.root / "x").exists()


async def test_blame(repo: Repo) -> None:
    repo.file("a.py", "one\ntwo\nthree\n")
    first = repo.commit("First")
    repo.file("a.py", "one\n2\nthree\n")
    second = repo.commit("Second")
    repo.file("a.py", "one\n2\nthree\nfour\n")
    assert await repo.ask("blame", "a.py") == (
        f"{first[:10]} 2026-01-02 Ada: First\n1:one\n"
        f"{second[:10]} 2026-01-02 Ada: Second\n2:2\n"
        f"{first[:10]} 2026-01-02 Ada: First\n3:three\n"
        "not committed yet:\n4:four"
    )
    assert await repo.ask("blame", "a.py:2") == f"{second[:10]} 2026-01-02 Ada: Second\n2:2"
    assert "1:one\n2:two\n3:three" in await repo.ask("blame", "a.py", "HEAD~1")
    result = await repo.present("git", command="blame", path="a.py:2-3")
    assert result.title == "git blame a.py:2-3"
    assert result.locations[0].line == 2
    for path, answer in (
        (None, "blame needs the path of a file"),
        ("a.py:9", "a.py ends at line 4, before line 9"),
        ("a.py:3-2", "lines of blame are counted from 1 and come as path:first-last"),
        ("b.py", "there is no file b.py"),
    ):
        assert (await repo.ask("blame", path)).startswith(f"error: {answer}")
    assert "there is no file b.py in commit" in await repo.ask("blame", "b.py", "HEAD")


async def test_blame_in_parts(repo: Repo) -> None:
    repo.file("a.py", "x\n" * 450)
    repo.commit()
    last = (await repo.ask("blame", "a.py")).split("\n")[-1]
    assert last == "(to line 200 of 450; go on with path=a.py:201-400)"
    last = (await repo.ask("blame", "a.py:201-400")).split("\n")[-1]
    assert last == "400:x"


async def test_blame_keeps_line_ends_and_sees_unsaved_text(repo: Repo) -> None:
    repo.file("a.py", "\ufeffone\r\ntwo\r\n")
    repo.commit("First")
    assert "not committed" not in await repo.ask("blame", "a.py")

    class Unsaved(LocalWorkspace):
        async def read_text(self, path: Path) -> TextFile:
            file = await super().read_text(path)
            return TextFile(path, "new\n" + file.text, file.digest, file.newline, file.bom)

    repo.context = ToolContext(Unsaved([repo.root]), ReadLedger())
    rows = (await repo.ask("blame", "a.py")).split("\n")
    assert rows[:2] == ["not committed yet:", "1:new"]
    assert rows[-1] == "3:two"


def test_blame_says_only_once_who_a_commit_is_by() -> None:
    id = "a" * 40
    text = (
        f"{id} 1 1 2\nauthor Ada\nauthor-time 0\nauthor-tz +0100\nsummary S\nfilename a\n\tx\n"
        f"{id} 2 2\n\t\n"
    )
    assert parse_blame(text) == [
        BlamedLine(1, "x", id, "Ada", "1970-01-01", "S"),
        BlamedLine(2, "", id, "Ada", "1970-01-01", "S"),
    ]


async def test_another_root_of_the_workspace(repo: Repo, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    git(second, "init", "-q", "-b", "other")
    (second / "a").write_text("x\n")
    both = repo_at(repo.root)
    both.context = ToolContext(LocalWorkspace([repo.root, second]), ReadLedger())
    assert await both.ask("status", str(second)) == (
        f"branch other, no commits yet\nuntracked:\n  {second}/a"
    )


async def test_secret_files_are_left_out_unless_they_are_named(repo: Repo) -> None:
    repo.file("a.py", "a = 1\n")
    repo.file(".env", "TOKEN=first\n")
    repo.file("deploy key/id_rsa", "first\n")
    repo.commit("Start")
    repo.file("a.py", "a = 2\n")
    repo.file(".env", "TOKEN=second\n")
    repo.git("mv", "deploy key/id_rsa", "plain.txt")
    for command, ref in (("diff", None), ("show", None)):
        if command == "show":
            repo.commit("Second")
        text = await repo.text("git", command=command, ref=ref)
        assert "+a = 2" in text
        assert "TOKEN" not in text
        assert "plain.txt" not in text
        assert "(2 files that may hold secrets left out; name one as path to see it)" in text
    repo.file(".env", "TOKEN=third\n")
    text = await repo.text("git", command="diff")
    assert text == "(1 file that may hold secrets left out; name one as path to see it)"
    assert "+TOKEN=third" in await repo.text("git", command="diff", path=".env")
