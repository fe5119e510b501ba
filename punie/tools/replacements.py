"""Exact replacements in a text, and what to tell a model whose old text is not there."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from punie.tools.base import ToolError
from punie.tools.near_miss import closest_lines, unescaped
from punie.tools.wording import split_lines

_NAMED_PLACES = 10
_MAX_PLACES = 1000
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
        times = f"more than {_MAX_PLACES}" if len(spans) > _MAX_PLACES else str(len(spans))
        raise ToolError(
            f"{label} occurs {times} times in {shown} ({_places(text, spans)}); "
            "add lines around it so that it occurs once"
        )
    start, end = spans[0]
    if "\r\n" in text[start:end]:
        new = new.replace("\n", "\r\n")
    return text[:start] + new + text[end:]


def _occurrences(text: str, old: str) -> list[tuple[int, int]]:
    """Return where `old` is, overlapping places included, and stop after `_MAX_PLACES` + 1.

    In a file with mixed line ends a line end in `old` stands for either kind.
    """
    spans: list[tuple[int, int]] = []
    if "\n" in old and "\r\n" in text:
        pattern = re.compile("\r?\n".join(re.escape(line) for line in old.split("\n")))
        match = pattern.search(text)
        while match is not None and len(spans) <= _MAX_PLACES:
            spans.append(match.span())
            match = pattern.search(text, match.start() + 1)
        return spans
    start = text.find(old)
    while start >= 0 and len(spans) <= _MAX_PLACES:
        spans.append((start, start + len(old)))
        start = text.find(old, start + 1)
    return spans


def _places(text: str, spans: Sequence[tuple[int, int]]) -> str:
    numbers: list[int] = []
    line, counted = 1, 0
    for start, _ in spans:
        line += text.count("\n", counted, start)
        counted = start
        if line not in numbers:
            numbers.append(line)
        if len(numbers) > _NAMED_PLACES:
            return f"lines {', '.join(map(str, numbers[:_NAMED_PLACES]))} and more"
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    return f"lines {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _not_found(text: str, old: str, label: str, shown: str) -> str:
    lines, wanted = split_lines(text), split_lines(old)
    if all(_LINE_NUMBER.match(line) for line in wanted):
        bare = "\n".join(_LINE_NUMBER.sub("", line) for line in wanted)
        if _occurrences(text, bare):
            return f"{label} begins with line numbers; leave them out"
    if _occurrences(text, unescaped(old)):
        return (
            f'{label} has characters written out as escapes, such as \\n or \\"; write the '
            "characters themselves"
        )
    closest = closest_lines(lines, wanted)
    if closest is None:
        return f"{label} is not in {shown}; read the file to see what is"
    return f"{label} is not in {shown}; {closest}"
