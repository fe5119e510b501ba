"""Exact replacements in a text, and what to tell a model whose old text is not there."""

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

from punie.tools.base import ToolError
from punie.tools.wording import cut, split_lines

_SHOWN_LINES = 6
_SHOWN_CHARS = 200
_NAMED_PLACES = 10
_MAX_PLACES = 1000
_LINE_NUMBER = re.compile(r"^\d+:")
_WORD = re.compile(r"\w+")


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
    place = _closest(lines, wanted)
    if place is None:
        return f"{label} is not in {shown}; read the file to see what is"
    window = lines[place : place + len(wanted)]
    rows = [
        f"{number}:{cut(line.removesuffix(chr(13)), _SHOWN_CHARS)}"
        for number, line in enumerate(window[:_SHOWN_LINES], start=place + 1)
    ]
    where = f"line {place + 1}" if len(rows) == 1 else f"lines {place + 1}-{place + len(rows)}"
    if [line.split() for line in window] == [line.split() for line in wanted]:
        head = f"{label} is not in {shown}; only the white space of {where} differs:"
    else:
        head = f"{label} is not in {shown}; the closest is {where}:"
    return "\n".join([head, *rows])


def _closest(lines: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return the index where the lines are most like the wanted ones, or None if nothing is."""
    targets = [" ".join(line.split()) for line in wanted]
    where: dict[str, list[int]] = {target: [] for target in targets if target}
    for index, line in enumerate(lines):
        places = where.get(" ".join(line.split()))
        # Lines that are everywhere, such as a lone bracket, say little and cost much.
        if places is not None and len(places) < 100:
            places.append(index)
    scores: dict[int, int] = {}
    for offset, target in enumerate(targets):
        for index in where.get(target, ()):
            if index >= offset:
                scores[index - offset] = scores.get(index - offset, 0) + 1
    if scores:
        return max(scores, key=lambda index: (scores[index], -index))
    anchor = next((offset for offset, target in enumerate(targets) if target), None)
    if anchor is None:
        return None
    like = _most_like(lines, targets[anchor])
    return None if like is None else max(like - anchor, 0)


def _most_like(lines: Sequence[str], target: str) -> int | None:
    """Return the index of the line that looks most like `target`, or None if none does.

    Shared words choose a few candidates first: comparing every line letter by letter would take
    seconds in a long file.
    """
    target = target[:_SHOWN_CHARS]
    words = set(_WORD.findall(target))

    def shared(index: int) -> int:
        return len(words.intersection(_WORD.findall(lines[index][: 2 * _SHOWN_CHARS])))

    candidates = sorted(range(len(lines)), key=shared, reverse=True)[:100]
    best: tuple[float, int] = (0.5, -1)
    matcher = difflib.SequenceMatcher(b=target, autojunk=False)
    for index in candidates:
        matcher.set_seq1(lines[index].strip()[:_SHOWN_CHARS])
        if matcher.real_quick_ratio() > best[0] and matcher.quick_ratio() > best[0]:
            best = max(best, (matcher.ratio(), index), key=lambda pair: pair[0])
    return best[1] if best[1] >= 0 else None
