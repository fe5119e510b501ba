"""Where a file gives a word as a name, read from its syntax alone."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

NamingKind = Literal["member", "module", "parameter", "local"]
"""Of a class or an object; at the top of a module; of a function; or within one."""

_BY_TEXT = ("namedtuple", "NamedTuple", "TypedDict", "Enum", "make_dataclass", "create_model")
"""What makes classes whose members stand in strings."""

_MAY_NAME = (
    r"\b(?:def|class)\s+{0}\b|\b{0}\s*(?:=(?!=)|[:,]|\bin\b|\bas\b)"
    rf"|\b(?:{'|'.join(_BY_TEXT)})\("
)


@dataclass(frozen=True)
class Naming:
    """A name that is given; its line from 1, its column from 0."""

    kind: NamingKind
    line: int
    column: int


def parsed(text: str) -> ast.Module | None:
    """Return a text's syntax tree, None if it has none."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def namings(text: str, word: str) -> list[Naming]:
    """Return where a text gives a word as a name, be it with a definition, a value or an import.

    A member of any object that is set from outside counts as a member. A text that is not valid
    Python names nothing.
    """
    tree = parsed(text)
    if tree is None:
        return []
    lines = text.split("\n")
    found = (Naming(kind, *spot(lines, node, word)) for kind, node in _named(tree, word))
    return list(dict.fromkeys(found))


def members_of(node: ast.ClassDef, text: str, word: str) -> list[Naming]:
    """Return where the body of a class gives a word as a name, functions' bodies left out."""
    lines = text.split("\n")
    named = (_named(statement, word, "member") for statement in node.body)
    return [
        Naming(kind, *spot(lines, each, word))
        for statement in named
        for kind, each in statement
        if kind == "member" and not isinstance(each, (ast.Attribute, ast.Call))
    ]


def has_member(text: str, word: str) -> bool:
    """Tell whether a text names a member so; quick where the word is only used."""
    if not re.search(_MAY_NAME.format(re.escape(word)), text):
        return False
    return any(each.kind == "member" for each in namings(text, word))


def column_in(line: str, offset: int) -> int:
    """Return the column of an offset in bytes, as syntax trees count."""
    return len(line.encode()[:offset].decode(errors="replace"))


def spot(lines: list[str], node: ast.AST, word: str) -> tuple[int, int]:
    """Return line and column of the first time that a word stands in a node after its start."""
    first = getattr(node, "lineno", 1)
    # The last name of an attribute, and of an import that gives another.
    if isinstance(node, ast.Attribute) or (isinstance(node, ast.alias) and node.asname):
        first = node.end_lineno or first
        end = column_in(lines[first - 1], node.end_col_offset or 0)
        return first, end - len(word)
    start = column_in(lines[first - 1], getattr(node, "col_offset", 0))
    for number in range(first, (getattr(node, "end_lineno", None) or first) + 1):
        match = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", lines[number - 1][start:])
        if match:
            return number, start + match.start()
        start = 0
    return first, start


def _named(
    tree: ast.AST, word: str, kind: NamingKind = "module"
) -> Iterator[tuple[NamingKind, ast.AST]]:
    """Yield what names the word, with the kind that it has there; at the outside it is `kind`."""
    left: list[tuple[ast.AST, NamingKind]] = [(tree, kind)]
    while left:
        node, within = left.pop()
        named = _kind(node, within, word)
        if named is not None:
            yield named, node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            within = "local"
        elif isinstance(node, ast.ClassDef):
            within = "member"
        left += [(child, within) for child in ast.iter_child_nodes(node)]


def _kind(node: ast.AST, within: NamingKind, word: str) -> NamingKind | None:
    """Return as what a node names the word, None if it does not."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return within if node.name == word else None
        case ast.arg():
            return "parameter" if node.arg == word else None
        case ast.Name(ctx=ast.Store()):
            return within if node.id == word else None
        case ast.Attribute(ctx=ast.Store()):
            return "member" if node.attr == word else None
        case ast.alias():
            return within if (node.asname or node.name.partition(".")[0]) == word else None
        case ast.Call():
            return "member" if _makes_member(node, word) else None
        case _:
            return None


def _makes_member(call: ast.Call, word: str) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in _BY_TEXT:
        return False
    texts = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant)]
    keywords = [each.arg for each in call.keywords]
    return word in keywords or any(
        isinstance(text, str) and word in re.split(r"[\s,]+", text) for text in texts
    )
