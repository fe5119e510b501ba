"""How texts are counted, cut and framed for a model and for a person."""

import difflib
import re
from collections.abc import Iterable

from punie.tools.presentation import DiffContent, TextContent

# Colours, cursor movements and window titles; then what is left of other control characters.
_TERMINAL_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
# Letters and signs for the purpose of printing that look like nothing.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def split_lines(text: str) -> list[str]:
    """Return the lines of a text without their ends; a final line end starts no new line."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 line`, `2 lines` and so on."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def fenced(text: str, language: str = "") -> TextContent:
    """Return the text as a Markdown code block that nothing in the text can close."""
    fence = "`" * max(3, _longest_backticks(text) + 1)
    return TextContent(text=f"{fence}{language}\n{text}\n{fence}")


def in_backticks(text: str) -> str:
    """Return one line of text as Markdown code."""
    longest = _longest_backticks(text)
    if not longest:
        return f"`{text}`"
    ticks = "`" * (longest + 1)
    return f"{ticks} {text} {ticks}"


def _longest_backticks(text: str) -> int:
    runs: Iterable[str] = re.findall(r"`+", text)
    return max(map(len, runs), default=0)


def one_line(text: str, limit: int) -> str:
    """Return the text's first line, cut to `limit` characters, with `…` where something is cut."""
    stripped = text.strip()
    first = stripped.split("\n", 1)[0].rstrip()
    clean = _CONTROL.sub(" ", first).replace("\r", " ")
    if len(clean) > limit:
        return clean[: limit - 1] + "…"
    return clean if first == stripped else clean + " …"


def visible(text: str) -> str:
    """Return a text that a person decides by, with all that hides or reorders others escaped.

    Line ends and tabs stay, and so does every character that shows as what it is.
    """
    return "".join(
        character
        if character in "\n\t" or (character.isprintable() and character not in _BLANK)
        else character.encode("unicode_escape").decode()
        for character in text
    )


def cut(text: str, limit: int) -> str:
    """Return the text, cut to `limit` characters with `…` at its end."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def fitting_rows(rows: Iterable[str], limit: int, *, least: int = 1) -> list[str]:
    """Return the first rows that fit into `limit` characters, each with its line end.

    `least` rows are returned in any case, if there are as many.
    """
    kept: list[str] = []
    used = 0
    for row in rows:
        used += len(row) + 1
        if used > limit and len(kept) >= least:
            break
        kept.append(row)
    return kept


def diff_lines(content: DiffContent) -> list[str]:
    """Return what changed as the lines of a unified diff, without those that name the file."""
    before = (content.old_text or "").splitlines()
    after = (content.new_text or "").splitlines()
    return list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]


def changed_line(old: str, new: str) -> int:
    """Return the 1-based number of the first line in which two texts differ."""
    old_lines, new_lines = old.split("\n"), new.split("\n")
    for number, (before, after) in enumerate(zip(old_lines, new_lines, strict=False), start=1):
        if before != after:
            return number
    return min(len(old_lines), len(new_lines))


def plain_output(text: str) -> str:
    """Return a command's output as a terminal would leave it: no colours, no overwritten text.

    Of a line that carriage returns rewrote, as progress bars do, only the last state is kept.
    """
    if "\x1b" in text:
        text = _TERMINAL_SEQUENCE.sub("", text)
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROL.sub("", text)
