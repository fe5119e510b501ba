"""Patches as texts: what is read from them, and where their hunks go."""

import difflib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.tools.patch.applying import apply_hunks
from punie.tools.patch.model import PatchError
from punie.tools.patch.parsing import parse_patch

OLD = "".join(f"line {number}\n" for number in range(1, 21))


def _unified(old: str, new: str, *, context: int = 3, git: bool = True) -> str:
    """Write a diff as diff(1) does, which says where a last line has no end."""
    before, after = ("a/f", "b/f") if git else ("f", "f")
    rows = difflib.unified_diff(
        old.split("\n")[:-1] if old.endswith("\n") else _open_ended(old),
        new.split("\n")[:-1] if new.endswith("\n") else _open_ended(new),
        before,
        after,
        lineterm="",
        n=context,
    )
    marked = [
        f"{row[:-1]}\n\\ No newline at end of file" if row.endswith("\0") else row for row in rows
    ]
    return "\n".join([*marked, ""])


def _open_ended(text: str) -> list[str]:
    """Return the lines of a text whose last has no end; NUL marks that, as no text holds it."""
    return [*text.split("\n")[:-1], text.split("\n")[-1] + "\0"] if text else []


def _applied(old: str, patch: str) -> str:
    (file,) = parse_patch(patch)
    return apply_hunks(old, file.hunks, "f")


_LINE = st.sampled_from(
    ["a", "b", "c", "", " x", "\ty", "- a", "-- a", "++ b", "--- a", "+++ b", "@@ -1 +1 @@", "é"]
)
_TEXT = st.builds(
    lambda lines, end: "\n".join(lines) + ("\n" if end and lines else ""),
    st.lists(_LINE, max_size=25),
    st.booleans(),
)


@settings(max_examples=300)
@given(old=_TEXT, new=_TEXT, context=st.integers(0, 4), git=st.booleans())
def test_a_unified_diff_makes_the_new_text(old: str, new: str, context: int, git: bool) -> None:
    if old == new:
        return
    assert _applied(old, _unified(old, new, context=context, git=git)) == new


@settings(max_examples=150)
@given(
    old=st.lists(st.integers(0, 10**6).map(str), min_size=4, max_size=40, unique=True),
    at=st.integers(0, 10**6),
    shift=st.integers(-50, 50),
)
def test_wrong_line_numbers_do_not_matter_where_there_is_one_place(
    old: list[str], at: int, shift: int
) -> None:
    index = at % len(old)
    new = [*old[:index], "changed", *old[index + 1 :]]
    patch = _unified("\n".join(old) + "\n", "\n".join(new) + "\n")
    head, _, tail = patch.partition("@@ -")
    number, _, rest = tail.partition(",")
    wrong = f"{head}@@ -{max(int(number.split()[0]) + shift, 0)},{rest}"
    assert _applied("\n".join(old) + "\n", wrong) == "\n".join(new) + "\n"


def _marked(*rows: str, path: str = "f") -> str:
    return "\n".join(["*** Begin Patch", f"*** Update File: {path}", *rows, "*** End Patch"])


def test_the_form_with_markers() -> None:
    patch = "\n".join(
        [
            "*** Begin Patch",
            "*** Add File: new/a.py",
            "+one",
            "+",
            "+two",
            "*** Update File: b.py",
            "*** Move to: c.py",
            "@@ class A:",
            "@@     def f(self):",
            " context",
            "-old",
            "+new",
            "*** Delete File: d.py",
            "*** End Patch",
            "",
        ]
    )
    add, update, delete = parse_patch(patch)
    assert (add.action, add.path) == ("add", "new/a.py")
    assert apply_hunks("", add.hunks, "a") == "one\n\ntwo\n"
    assert (update.action, update.path, update.to) == ("update", "b.py", "c.py")
    (hunk,) = update.hunks
    assert hunk.anchors == ["class A:", "def f(self):"]
    assert hunk.old == ["context", "old"]
    assert (delete.action, delete.path, delete.hunks) == ("delete", "d.py", [])
    assert [file.path for file in parse_patch(f"```diff\n{patch}```\n")] == [
        "new/a.py",
        "b.py",
        "d.py",
    ]


def test_git_headers() -> None:
    patch = """\
diff --git a/old name.py b/new name.py
similarity index 90%
rename from old name.py
rename to new name.py
index 123..456 100644
--- a/old name.py
+++ b/new name.py
@@ -1 +1 @@ def f():
-a
+b
diff --git a/gone b/gone
deleted file mode 100644
index 123..000
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git a/empty b/empty
new file mode 100644
index 000..000
diff --git "a/caf\\303\\251" "b/caf\\303\\251"
--- "a/caf\\303\\251"
+++ "b/caf\\303\\251"
@@ -0,0 +1 @@
+x
--
2.40.0
"""
    files = parse_patch(patch)
    assert [(file.action, file.path, file.to) for file in files] == [
        ("update", "old name.py", "new name.py"),
        ("delete", "gone", None),
        ("add", "empty", None),
        ("update", "café", None),
    ]
    assert apply_hunks("x\n", files[1].hunks, "gone") == ""
    assert apply_hunks("", files[2].hunks, "empty") == ""


def test_names_with_and_without_prefixes() -> None:
    hunk = "@@ -1 +1 @@\n-a\n+b\n"
    for old, new, path in [
        ("a/x.py", "b/x.py", "x.py"),
        ("x.py\t2026-01-01 00:00:00", "x.py\t2026-01-01 00:00:00", "x.py"),
        ("a/x.py", "a/x.py", "a/x.py"),
        ("b/x.py", "b/x.py", "b/x.py"),
        ("x.py.orig", "x.py", "x.py"),
    ]:
        assert [file.path for file in parse_patch(f"--- {old}\n+++ {new}\n{hunk}")] == [path]
    (file,) = parse_patch(f"*** Begin Patch\n--- x\n+++ x\n{hunk}*** End Patch")
    assert file.path == "x"


def test_hunks_may_come_in_any_order_and_touch() -> None:
    assert (
        _applied("a\nb\nc\n", _marked("@@", "-c", "+C", "@@", "-a", "+A", "@@", "-b")) == "A\nC\n"
    )


def test_an_anchor_chooses_between_equal_places() -> None:
    text = "def f():\n    return 1\n\ndef g():\n    return 1\n"
    patch = _marked("@@ def g():", "-    return 1", "+    return 2")
    assert _applied(text, patch) == "def f():\n    return 1\n\ndef g():\n    return 2\n"
    with pytest.raises(PatchError, match="fits at lines 2, 5; give it more lines of context"):
        _applied(text, _marked("@@", "-    return 1", "+    return 2"))
    with pytest.raises(PatchError, match="no line 'def h' after @@"):
        _applied(text, _marked("@@ def h", "-    return 1", "+    return 2"))


def test_white_space_at_line_ends_may_differ_and_context_stays_as_it_is() -> None:
    assert _applied("a  \nb\nc\t\n", _marked("@@", " a", "-b", "+B", " c")) == "a  \nB\nc\t\n"
    with pytest.raises(PatchError, match="only the indentation of line 1 differs"):
        _applied("    a\n", _marked("@@", "-a", "+b"))


def test_lines_without_any_place() -> None:
    assert _applied("", _marked("@@", "+a")) == "a\n"
    assert _applied("x\n", _marked("@@", "+a", "*** End of File")) == "x\na\n"
    assert _applied("x\ny\n", _marked("@@ x", "+a")) == "x\na\ny\n"
    with pytest.raises(PatchError, match="only adds lines and does not say where"):
        _applied("x\n", _marked("@@", "+a"))


def test_empty_lines_around_hunks_are_no_context() -> None:
    patch = "--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\n\n--- g\n+++ g\n@@ -1 +1 @@\n-x\n+y\n\n"
    first, second = parse_patch(patch)
    assert apply_hunks("a\nb\n", first.hunks, "f") == "a\nc\n"
    assert apply_hunks("x\n", second.hunks, "g") == "y\n"
    # One that is counted is context whose only space was lost.
    assert _applied("a\n\nb\n", "--- f\n+++ f\n@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n") == "a\n\nc\n"


def test_a_refusal_shows_the_hunk_and_the_closest_lines() -> None:
    with pytest.raises(PatchError) as caught:
        _applied(OLD, _marked("@@", " line 3", "-line four", "+x", "@@", "-line 9", "+y"))
    assert str(caught.value) == (
        "hunk 1 of f does not apply; its old lines are not there:\n"
        " line 3\n-line four\n+x\n"
        "the closest is lines 3-4:\n3:line 3\n4:line 4"
    )


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ("", "the patch names no file; write"),
        ("please change a.py", "the patch names no file; write"),
        ("@@ -1 +1 @@\n-a\n+b\n", "names no file before its first hunk"),
        ("-a\n+b\n", "line 1 of the patch belongs to no hunk"),
        (_marked("@@", " a"), "hunk 1 of f changes nothing"),
        (_marked(), "the patch changes nothing in f"),
        (_marked("@@", "?a"), r"line 4 of the patch must begin with a space, - or \+: \?a"),
        ("*** Begin Patch\nx\n*** Add File: f\n+a", "line 2 of the patch belongs to no file"),
        ("*** Add File: f\na", r"line 2 of the patch must begin with \+, in a new file"),
        ("--- f\n+++ f\n@@ -1 +1 @@\n", "a hunk of f is empty"),
        ("diff --git a/x b/x\nBinary files a/x and b/x differ\n", "binary files cannot be applied"),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", "the patch changes no text"),
        ("diff --git a/x b/y\nrename to y\n", "the patch changes no text"),
        (
            "diff --git a/x b/y\nsimilarity index 100%\ncopy from x\ncopy to y\n",
            "a patch that copies files cannot be applied",
        ),
    ],
)
def test_what_is_no_patch(patch: str, sentence: str) -> None:
    with pytest.raises(PatchError, match=sentence):
        parse_patch(patch)


@settings(max_examples=200)
@given(
    rows=st.lists(
        st.sampled_from(
            ["*** Begin Patch", "*** Update File: f", "*** Move to: g", "*** Add File: h", "@@", "",
             "@@ -1,2 +1 @@", "--- f", "+++ f", "+++ /dev/null", " a", "-a", "+b", "\\ No newline",
             "diff --git a/f b/f", "rename to x", "*** End Patch", "```", "text"]
        ),
        max_size=12,
    )
)  # fmt: skip
def test_nothing_but_a_patch_error_comes_of_rubbish(rows: list[str]) -> None:
    try:
        for file in parse_patch("\n".join(rows)):
            apply_hunks("a\nb\n", file.hunks, "f")
    except PatchError:
        pass
