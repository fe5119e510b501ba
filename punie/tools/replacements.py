"""Exact replacements in a text, and what to tell a model whose old text is not there."""

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

from punie.tools.base import ToolError
from punie.tools.calls import split_lines

_SHOWN_LINES = 6
_LINE_NUMBER = re.compile(r"^\d+:")


class Replacement(NamedTuple):
    """A text that occurs exactly once, and what comes in its place."""

    old: str
    new: str


def apply_replacements(text: str, replacements: Sequence[Replacement], shown: str) -> str:
    """Apply the replacements in order, each on the result of the one before.

    Raises `ToolError` if one of them does not apply; `shown` is the file's name in its message.
    """
    if not replacements:
        raise ToolError("edits is empty")
    result = text
    for number, replacement in enumerate(replacements, start=1):
        label = "old_text" if len(replacements) == 1 else f"old_text of edit {number}"
        result = _apply(result, replacement, label, shown)
    if result == text:
        raise ToolError(f"the edits together leave {shown} as it is")
    return result


def _apply(text: str, replacement: Replacement, label: str, shown: str) -> str:
    old = replacement.old.replace("\r\n", "\n")
    new = replacement.new.replace("\r\n", "\n")
    if not old:
        raise ToolError(f"{label} is empty; to create a file use write_file")
    if old == new:
        raise ToolError(f"{label} and its new_text are the same")
    spans = _occurrences(text, old)
    if not spans:
        raise ToolError(_not_found(text, old, label, shown))
    if len(spans) > 1:
        lines = [text.count("\n", 0, start) + 1 for start, _ in spans]
        raise ToolError(
            f"{label} occurs {len(spans)} times in {shown} ({_lines(lines)}); "
            "add lines around it so that it occurs once"
        )
    start, end = spans[0]
    if "\r\n" in text[start:end]:
        new = new.replace("\n", "\r\n")
    return text[:start] + new + text[end:]


def _occurrences(text: str, old: str) -> list[tuple[int, int]]:
    """Return where `old` is, overlapping places included.

    In a file with mixed line ends a line end in `old` stands for either kind.
    """
    pattern = re.escape(old)
    if "\r\n" in text:
        pattern = "\r?\n".join(re.escape(line) for line in old.split("\n"))
    found = re.finditer(f"(?=({pattern}))", text)
    return [match.span(1) for match in found]


def _lines(numbers: Sequence[int]) -> str:
    distinct = list(dict.fromkeys(numbers))
    if len(distinct) == 1:
        return f"line {distinct[0]}"
    if len(distinct) > 10:
        return f"lines {', '.join(map(str, distinct[:10]))} and more"
    return f"lines {', '.join(map(str, distinct[:-1]))} and {distinct[-1]}"


def _not_found(text: str, old: str, label: str, shown: str) -> str:
    lines, wanted = split_lines(text), split_lines(old) or [""]
    if all(_LINE_NUMBER.match(line) for line in wanted):
        bare = "\n".join(_LINE_NUMBER.sub("", line) for line in wanted)
        if bare in text:
            return f"{label} begins with line numbers; leave them out"
    place = _closest(lines, wanted)
    if place is None:
        return f"{label} is not in {shown}; read the file to see what is"
    length = min(len(wanted), _SHOWN_LINES)
    rows = [
        f"{number}:{line.removesuffix(chr(13))}"
        for number, line in enumerate(lines[place : place + length], start=place + 1)
    ]
    same = [line.split() for line in lines[place : place + len(wanted)]]
    why = "only its white space differs" if same == [line.split() for line in wanted] else "closest"
    last = place + len(rows)
    where = f"line {last}" if len(rows) == 1 else f"lines {place + 1}-{last}"
    head = f"{label} is not in {shown}; {why}: {where}"
    if why == "closest":
        head = f"{label} is not in {shown}; the closest is {where}"
    return "\n".join([head, *rows])


def _closest(lines: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return the index where the lines are most like the wanted ones, or None if nothing is."""
    stripped = [line.strip() for line in lines]
    targets = [line.strip() for line in wanted]
    scores: dict[int, int] = {}
    for offset, target in enumerate(targets):
        if target:
            for index, line in enumerate(stripped):
                if line == target and index >= offset:
                    scores[index - offset] = scores.get(index - offset, 0) + 1
    if scores:
        return max(scores, key=lambda index: (scores[index], -index))
    anchor, target = next(((o, t) for o, t in enumerate(targets) if t), (0, ""))
    close = difflib.get_close_matches(target, stripped[:20_000], n=1, cutoff=0.4)
    if not target or not close:
        return None
    return max(stripped.index(close[0]) - anchor, 0)
