"""The words of a command: which are known before it runs, and as what."""

import re
from typing import TYPE_CHECKING

from punie.agent.permissions.shell import Word

if TYPE_CHECKING:
    from tree_sitter import Node

# Expansions that only put a variable's value in. Others can run code that the value holds, as in
# ${x@P}, ${!x} and ${a[$x]}, or set variables, as in ${x:=y}.
PLAIN_EXPANSION = re.compile(
    r"\$(?:\w|[A-Za-z_]\w*|[@*#?$!-]|\{#?[A-Za-z_]\w*\}|\{[A-Za-z_]\w*(?::?-|%%?|##?)[\w./*-]*\})",
    re.ASCII,
)
PLAIN_ARITHMETIC = re.compile(r"\$\(\([0-9 +*/%()-]*\)\)")

_GLOB = re.compile(r"[*?\[\]]")
_ESCAPE = re.compile(r"\\(\n|.)", re.DOTALL)
_STRING_ESCAPE = re.compile(r'\\(\n|["\\$`])')
_LIVE = re.compile(r"(?<!\\)(?:\\\\)*[$`]")
_OPERAND_START = re.compile(r"[A-Za-z0-9_./]", re.ASCII)


def names(text: str) -> frozenset[str]:
    """Return the names in a text, so that long tables of them can be read."""
    return frozenset(text.split())


def known(text: str) -> Word:
    """Return a word whose value is known."""
    return Word(text, known=True, option=text.startswith("-"))


def unknown(source: str, *, option: bool = True) -> Word:
    """Return a word whose value shows only when the command runs."""
    return Word(source, known=False, option=option)


def word_of(node: "Node", code: bytes) -> Word:
    """Return the word that a node of the grammar stands for in the code."""
    source = _source(node, code)
    pieces = node.children if node.type == "concatenation" else [node]
    values = [_value(piece, code) for piece in pieces]
    unquoted = [piece for piece in pieces if piece.type in ("word", "brace_expression")]
    bare = "".join(_source(piece, code) for piece in unquoted)
    braces = "{" in bare and ("," in bare or ".." in bare)
    if not braces and all(value is not None for value in values):
        return known("".join(value for value in values if value is not None))
    # Only an expansion without quotes can be split or become several words.
    splits = braces or any(
        piece.type not in ("word", "number", "raw_string", "string") for piece in pieces
    )
    first = source.lstrip("\"'")[:1]
    return unknown(source, option=splits or not _OPERAND_START.match(first))


def _value(node: "Node", code: bytes) -> str | None:
    source = _source(node, code)
    match node.type:
        case "word":
            bare = _ESCAPE.sub("", source)
            if _GLOB.search(bare) or "$" in bare or "`" in bare or source.startswith("~"):
                return None
            return _ESCAPE.sub(lambda found: found[1].replace("\n", ""), source)
        case "number":
            return source if source.removeprefix("-").isdigit() else None
        case "raw_string":
            return source[1:-1]
        case "string":
            inside = source.removeprefix("$")[1:-1]
            if source.startswith("$") or _LIVE.search(inside):
                return None
            return _STRING_ESCAPE.sub(lambda found: found[1].replace("\n", ""), inside)
        case _:
            return None


def _source(node: "Node", code: bytes) -> str:
    return code[node.start_byte : node.end_byte].decode("utf-8", "replace")
