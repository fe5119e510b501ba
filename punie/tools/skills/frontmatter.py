"""The head of a SKILL.md: the part of YAML that people write there."""

import re
from dataclasses import dataclass

_FENCE = "---"
_FIELD = re.compile(r"([A-Za-z][\w-]*)\s*:(?:\s+(.*))?")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?")
_ESCAPES = {r"\"": '"', r"\\": "\\", r"\n": "\n", r"\t": "\t"}
_ESCAPE = re.compile(r"\\[\"\\nt]")


class FrontmatterError(Exception):
    """The head cannot be read; the message is a clause."""


@dataclass(frozen=True)
class Document:
    """The fields of the head as texts, and what follows it."""

    fields: dict[str, str]
    body: str


def read_document(text: str) -> Document:
    """Read the text of a file; raise `FrontmatterError` if there is no head, or it is broken."""
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != _FENCE:
        raise FrontmatterError("does not begin with a line of ---")
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise FrontmatterError("has no second line of --- to end its head")
    return Document(_fields(lines[1:end]), "\n".join(lines[end + 1 :]).strip("\n"))


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    more: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 2):
        if not line.strip() or line.startswith("#"):
            if name:
                more[name].append("")
        elif line[0] in " \t" or (line.startswith("- ") and name):
            if not name:
                raise FrontmatterError(f"has an indented line {number} that belongs to nothing")
            more[name].append(line)
        else:
            match = _FIELD.fullmatch(line.rstrip())
            if match is None:
                raise FrontmatterError(f'has a line {number} that is not "name: value"')
            name = match[1].lower()
            fields[name] = match[2] or ""
            more[name] = []
    return {name: _value(first, more[name]) for name, first in fields.items()}


def _value(first: str, more: list[str]) -> str:
    """Return a value that begins behind its name and may go on below it."""
    first = first.strip()
    if _BLOCK.fullmatch(_COMMENT.sub("", first)):
        joint = "\n" if first[0] == "|" else " "
        return joint.join(line.strip() for line in more).strip()
    whole = " ".join([first, *(line.strip() for line in more)]).strip()
    for quote in ("'", '"'):
        if whole.startswith(quote):
            if len(whole) < 2 or not whole.endswith(quote):
                raise FrontmatterError(f"has a value with no {quote} at its end")
            inner = whole[1:-1]
            if quote == "'":
                return inner.replace("''", "'")
            return _ESCAPE.sub(lambda found: _ESCAPES[found[0]], inner)
    return _COMMENT.sub("", whole).strip()
