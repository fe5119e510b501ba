"""Reading patches: the form with `*** Begin Patch`, and unified diffs as diff and git write them.

Sources: the patch format of OpenAI's coding agents (`*** Add File`, `*** Update File`,
`*** Delete File`, `*** Move to`, `@@ line that comes before`), the unified format of GNU diffutils
("Detailed Unified") and the extended headers of git-diff(1).
"""

import re
from collections.abc import Sequence
from typing import Literal

from punie.tools.patch.model import FilePatch, Hunk, HunkLine, PatchError

_RANGE = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
_MARKER = re.compile(r"\*\*\* (Add|Update|Delete) File: *(.+?) *$")
_FENCE = re.compile(r"```[\w-]*$")
_ACTIONS: dict[str, Literal["add", "update", "delete"]] = {
    "Add": "add",
    "Update": "update",
    "Delete": "delete",
}
_FRAME = ("*** Begin Patch", "*** End Patch")
_NOWHERE = "/dev/null"
_SIGNATURE = "--"  # What git format-patch writes below.
_EXTENDED = (
    "index ",
    "old mode ",
    "new mode ",
    "new file mode ",
    "deleted file mode ",
    "similarity index ",
    "dissimilarity index ",
    "rename from ",
    "rename to ",
    "copy from ",
    "copy to ",
)
HOW = (
    'write "*** Begin Patch", then for each file "*** Update File: path" (or Add File, Delete '
    'File), "@@" and lines that begin with a space, - or +, then "*** End Patch"'
)


def parse_patch(text: str) -> list[FilePatch]:
    """Read a patch; raise `PatchError` with the line that is wrong."""
    lines = text.replace("\r\n", "\n").split("\n")
    for at in (0, -1):
        while lines and (not lines[at] or _FENCE.match(lines[at])):
            lines.pop(at)
    if any(_MARKER.match(line) for line in lines):
        return _checked(_Marked(lines).read())
    return _checked(_Unified([line for line in lines if line.strip() not in _FRAME]).read())


def _checked(files: list[FilePatch]) -> list[FilePatch]:
    if not files:
        raise PatchError(f"the patch names no file; {HOW}")
    for file in files:
        for number, hunk in enumerate(file.hunks, start=1):
            if file.action == "update" and not hunk.changes:
                raise PatchError(f"hunk {number} of {file.path} changes nothing")
    return files


def _trimmed(hunk: Hunk, bare: int) -> None:
    """Take off the last `bare` lines, which were wholly empty: space before the next file."""
    for _ in range(bare):
        hunk.lines.pop()


class _Marked:
    """Reads the form with markers."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._at = 0

    def read(self) -> list[FilePatch]:
        files: list[FilePatch] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            marker = _MARKER.match(line)
            self._at += 1
            if marker is not None:
                files.append(self._file(_ACTIONS[marker[1]], marker[2]))
            elif line.strip() == "*** End Patch":
                break
            elif line.strip() and line.strip() != "*** Begin Patch":
                raise PatchError(f"line {self._at} of the patch belongs to no file; {HOW}")
        return files

    def _file(self, action: Literal["add", "update", "delete"], path: str) -> FilePatch:
        file = FilePatch(action, path)
        if action == "update" and self._peek().startswith("*** Move to:"):
            file.to = self._peek().partition(":")[2].strip()
            self._at += 1
        if action == "add":
            file.hunks = [self._added()]
        elif action == "update":
            self._hunks(file)
        return file

    def _peek(self) -> str:
        return self._lines[self._at] if self._at < len(self._lines) else "*** End Patch"

    def _is_marker(self) -> bool:
        line = self._peek()
        return bool(_MARKER.match(line)) or line.strip() in _FRAME

    def _added(self) -> Hunk:
        hunk = Hunk(new_end=True)
        bare = 0
        while not self._is_marker():
            line = self._peek()
            self._at += 1
            if line and not line.startswith("+"):
                raise PatchError(f"line {self._at} of the patch must begin with +, in a new file")
            bare = 0 if line else bare + 1
            hunk.lines.append(HunkLine("+", line[1:]))
        _trimmed(hunk, bare)
        return hunk

    def _hunks(self, file: FilePatch) -> None:
        hunk = Hunk()
        bare = 0
        while not self._is_marker():
            line = self._peek()
            self._at += 1
            if line.startswith("@@"):
                _trimmed(hunk, bare)
                bare = 0
                if hunk.lines:
                    file.hunks.append(hunk)
                    hunk = Hunk()
                self._header(hunk, line)
            elif line.strip() == "*** End of File":
                hunk.at_end = True
            elif line.startswith((" ", "-", "+")) or not line:
                bare = 0 if line else bare + 1
                hunk.lines.append(_hunk_line(line))
            else:
                raise PatchError(
                    f"line {self._at} of the patch must begin with a space, - or +: {line[:80]}"
                )
        _trimmed(hunk, bare)
        if hunk.lines:
            file.hunks.append(hunk)
        if not file.hunks and file.to is None:
            raise PatchError(f"the patch changes nothing in {file.path}; {HOW}")

    @staticmethod
    def _header(hunk: Hunk, line: str) -> None:
        numbers = _RANGE.match(line)
        if numbers is not None:
            hunk.start = int(numbers[1])
        elif (anchor := line[2:].removesuffix("@@").strip()) and anchor != "@@":
            hunk.anchors.append(anchor)


class _Unified:
    """Reads unified diffs."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._at = 0

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._lines[at] if at < len(self._lines) else ""

    def read(self) -> list[FilePatch]:
        files: list[FilePatch] = []
        while self._at < len(self._lines):
            line = self._peek()
            if line.startswith("diff --git "):
                file = self._git_file()
            elif line.startswith("--- ") and self._peek(1).startswith("+++ "):
                file = self._names(self._peek()[4:], self._peek(1)[4:])
                self._at += 2
            elif line.startswith("@@"):
                raise PatchError(
                    "the patch names no file before its first hunk; put --- path and +++ path there"
                )
            elif line.startswith(("-", "+")) and line.rstrip() != _SIGNATURE:
                raise PatchError(f"line {self._at + 1} of the patch belongs to no hunk; {HOW}")
            else:
                self._at += 1  # What mails and commits say around a diff.
                continue
            while self._peek().startswith("@@"):
                file.hunks.append(self._hunk(file.path))
            files.append(file)
        return files

    def _git_file(self) -> FilePatch:
        head = self._peek()
        self._at += 1
        said: dict[str, str] = {}
        while header := next((each for each in _EXTENDED if self._peek().startswith(each)), None):
            said[header.strip()] = _unquoted(self._peek().removeprefix(header))
            self._at += 1
        moves = said.get("rename from") and said.get("rename to")
        if "copy from" in said:
            raise PatchError("a patch that copies files cannot be applied; add the new file whole")
        if self._peek().startswith(("Binary files ", "GIT binary patch")):
            raise PatchError("a patch of binary files cannot be applied")
        if self._peek().startswith("--- ") and self._peek(1).startswith("+++ "):
            file = self._names(self._peek()[4:], self._peek(1)[4:])
            self._at += 2
            if moves:
                file.path, file.to = said["rename from"], said["rename to"]
            return file
        if moves:
            return FilePatch("update", said["rename from"], said["rename to"])
        names = re.fullmatch(r"diff --git (?:a/)?(.+) (?:b/)?\1", head)
        if names is not None and "new file mode" in said:
            return FilePatch("add", names[1], hunks=[Hunk()])
        if names is not None and "deleted file mode" in said:
            return FilePatch("delete", names[1])
        raise PatchError(f'the patch changes no text after "{head[:100]}"')

    @staticmethod
    def _names(old: str, new: str) -> FilePatch:
        old, new = _unquoted(old), _unquoted(new)
        if old == _NOWHERE:
            return FilePatch("add", new.removeprefix("b/"))
        if new == _NOWHERE:
            return FilePatch("delete", old.removeprefix("a/"))
        if old.startswith("a/") and new.startswith("b/"):
            # As git writes them; a folder that is really called so stands on both sides.
            new = new.removeprefix("b/")
        return FilePatch("update", new)

    def _hunk(self, path: str) -> Hunk:
        header = self._peek()
        numbers = _RANGE.match(header)
        self._at += 1
        hunk = Hunk()
        old_left = new_left = None
        if numbers is not None:
            hunk.start = int(numbers[1])
            old_left, new_left = int(numbers[2] or 1), int(numbers[4] or 1)
            if old_left == 0:
                hunk.start += 1  # The line after which something is added.
        elif anchor := header[2:].removesuffix("@@").strip():
            hunk.anchors.append(anchor)
        bare = 0
        while self._at < len(self._lines) and not self._ends(old_left, new_left):
            line = self._peek()
            if line.startswith("\\"):
                self._no_end(hunk)
            elif line.startswith((" ", "-", "+")) or not line:
                bare = 0 if line else bare + 1
                read = _hunk_line(line)
                hunk.lines.append(read)
                if old_left is not None and new_left is not None:
                    old_left -= read.sign != "+"
                    new_left -= read.sign != "-"
            else:
                break
            self._at += 1
        _trimmed(hunk, bare if old_left is None else min(bare, max(-old_left, 0)))
        if not hunk.lines:
            raise PatchError(f"a hunk of {path} is empty: {header[:80]}")
        return hunk

    def _ends(self, old_left: int | None, new_left: int | None) -> bool:
        """Tell whether the hunk ends here. Numbers of lines are often wrong, so they only help to
        tell a line that was `-- x` or `++ x` from the names of the next file."""
        line = self._peek()
        if line.startswith(("@@", "diff --git ")):
            return True
        if line.rstrip() == _SIGNATURE:
            return old_left == 0 and new_left == 0
        if line.startswith("--- ") and self._peek(1).startswith("+++ "):
            if not self._peek(2).startswith("@@"):
                return old_left == 0 and new_left == 0
            return not (old_left == new_left == 1)
        return False

    @staticmethod
    def _no_end(hunk: Hunk) -> None:
        last = hunk.lines[-1].sign if hunk.lines else " "
        if last != "+":
            hunk.old_end = False
        if last != "-":
            hunk.new_end = False
        elif hunk.new_end is None:
            hunk.new_end = True


def _hunk_line(line: str) -> HunkLine:
    match line[:1]:
        case "-":
            return HunkLine("-", line[1:])
        case "+":
            return HunkLine("+", line[1:])
        case _:
            return HunkLine(" ", line[1:])


def _unquoted(name: str) -> str:
    """Return a file name without the time after it and without git's quoting."""
    name = name.split("\t")[0].rstrip()
    if len(name) < 2 or not name.startswith('"') or not name.endswith('"'):
        return name
    inner = re.sub(
        r"\\([0-7]{3}|.)",
        lambda match: (
            chr(int(match[1], 8))
            if match[1].isdigit()
            else {"n": "\n", "t": "\t"}.get(match[1], match[1])
        ),
        name[1:-1],
    )
    try:
        return inner.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return inner
