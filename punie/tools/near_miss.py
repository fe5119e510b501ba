"""What to tell a model whose lines are not in a file: the closest ones and how they differ."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Sequence

from punie.tools.wording import cut

_SHOWN_LINES = 8
_SHOWN_CHARS = 200
_MAX_NAMED = 3
_WORD = re.compile(r"\w+")
# What word processors and models write for what programs are written with.
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u202f\u3000", " "),
        "\u2026": "...",
        "\u200b": "",
        "\ufeff": "",
    }
)
_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\'": "'", "\\\\": "\\"}
_ESCAPE = re.compile(r"\\[nt\"'\\]")


def unescaped(text: str) -> str:
    """Return the text with written-out escapes such as `\\n` as the characters they stand for."""
    return _ESCAPE.sub(lambda match: _ESCAPES[match.group()], text)


def plain_characters(text: str) -> str:
    """Return the text with typographic characters as the ones on a keyboard."""
    return unicodedata.normalize("NFC", text).translate(_TYPOGRAPHY)


def closest_lines(lines: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Say where the lines are most like the wanted ones, how they differ, and show them.

    Returns the end of a sentence and rows of `number:line`; None if nothing is like them.
    """
    place = _closest(lines, wanted)
    if place is None:
        return None
    window = [line.removesuffix("\r") for line in lines[place : place + len(wanted)]]
    rows = [
        f"{number}:{cut(line, _SHOWN_CHARS)}"
        for number, line in enumerate(window[:_SHOWN_LINES], start=place + 1)
    ]
    last = place + len(window)
    where = f"line {place + 1}" if last == place + 1 else f"lines {place + 1}-{last}"
    said = _difference(window, wanted, where) or f"the closest is {where}:"
    more = len(window) - len(rows)
    return "\n".join([said, *rows, *([f"({more} more)"] if more else [])])


def _difference(window: Sequence[str], wanted: Sequence[str], where: str) -> str | None:
    """Name the one thing that differs, if it is one that is hard to see."""

    def same(simplify: Callable[[str], object]) -> bool:
        return [simplify(line) for line in window] == [simplify(line) for line in wanted]

    if same(str.rstrip):
        longer = [line for line in window if line != line.rstrip()]
        there = "the file has" if longer else "the file has no"
        return f"only white space at the end of {where} differs ({there} some there):"
    if same(str.strip):
        return f"only the indentation of {where} differs ({_indentation(window, wanted)}):"
    if same(str.split):
        return f"only the white space of {where} differs:"
    if same(plain_characters):
        return f"only single characters of {where} differ ({_characters(window, wanted)}):"
    if same(str.casefold):
        return f"only upper and lower case of {where} differ:"
    if same(lambda line: plain_characters(line).split()):
        return (
            f"only white space and single characters of {where} differ "
            f"({_characters(window, wanted)}):"
        )
    return None


def _indentation(window: Sequence[str], wanted: Sequence[str]) -> str:
    for line, other in zip(window, wanted, strict=True):
        if line != other and line.strip():
            return f"{_shown_indent(line)} in the file, {_shown_indent(other)} in yours"
    return "of empty lines"


def _shown_indent(line: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    tabs, spaces = indent.count("\t"), indent.count(" ")
    parts = [
        f"{number} {noun}{'s' if number != 1 else ''}"
        for number, noun in ((tabs, "tab"), (spaces, "space"))
        if number
    ]
    return " and ".join(parts) or "none"


def _characters(window: Sequence[str], wanted: Sequence[str]) -> str:
    """Name the characters of the file that differ from the wanted ones."""
    named: dict[str, None] = {}
    for line, other in zip(window, wanted, strict=True):
        for there, given in zip(
            unicodedata.normalize("NFC", line), unicodedata.normalize("NFC", other), strict=False
        ):
            if there != given and there.strip() + given.strip():
                named[f"the file has {_named(there)}, yours {_named(given)}"] = None
                break
    return "; ".join(list(named)[:_MAX_NAMED]) or "composed and decomposed letters"


def _named(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    return f"{character} U+{ord(character):04X}"


def _closest(lines: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return the index where the lines are most like the wanted ones, or None if nothing is."""
    targets = [_simple(line) for line in wanted]
    where: dict[str, list[int]] = {target: [] for target in targets if target}
    for index, line in enumerate(lines):
        places = where.get(_simple(line))
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


def _simple(line: str) -> str:
    if not line.isascii():
        line = plain_characters(line)
    return " ".join(line.split())


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
