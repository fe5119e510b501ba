"""From what a model knows of a symbol, its name and perhaps a line, to where it stands."""

import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.tools.base import ToolArguments, ToolContext, ToolError
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation, ToolKind
from punie.tools.python.targets import SUFFIXES
from punie.tools.subjects import ReadSubject
from punie.tools.wording import one_line, split_lines
from punie.workspace.base import TextFile
from punie.workspace.lsp.model import Point, Symbol
from punie.workspace.roots import root_around

_NAMED = 5
_MAX_FILES = 40
_SHOWN_CHARS = 80


class SymbolArguments(ToolArguments):
    """Which symbol is meant."""

    symbol: str
    """Its name as it stands in the code, with what qualifies it where several have that name, as
    in `Class.method` or `package.module.function`."""
    path: str | None = None
    """A file in which it stands, and best the line too, as in `a.py:12`; left out, the symbol is
    looked up in the project."""


_LINE = re.compile(r"(.+):(\d{1,9})(?::\d*)?", re.DOTALL)


def split_path(given: str | None) -> tuple[str | None, int | None]:
    """Return the path and the line of what a model gave as `path` or `path:line`."""
    match = _LINE.fullmatch(given or "")
    return (match[1], int(match[2])) if match else (given, None)


@dataclass(frozen=True)
class Located:
    """Where a symbol stands and what its own name is; `note` tells of the file it stands in."""

    point: Point
    name: str
    note: str = ""


@dataclass(frozen=True)
class Named:
    """A symbol with the names of all that it is in, those of its package and module included."""

    qualified: str
    symbol: Symbol


def title(
    context: ToolContext, verb: str, arguments: SymbolArguments, kind: ToolKind
) -> Presentation:
    """Describe a call about a symbol; raise `ToolError` for a path outside or no name."""
    name = arguments.symbol
    if not all(part.isidentifier() for part in name.split(".")):
        raise ToolError(
            f'"{one_line(name, _SHOWN_CHARS)}" is no name; give one as it stands in the code'
        )
    given, line = split_path(arguments.path)
    shown = one_line(name, _SHOWN_CHARS)
    if given is None:
        return Presentation(title=f"{verb} {shown}", kind=kind)
    with workspace_errors():
        path = context.workspace.resolve(given)
    where = context.workspace.display(path) + (f":{line}" if line else "")
    return Presentation(
        title=f"{verb} {shown} in {where}", kind=kind, locations=(Location(path=path, line=line),)
    )


def subject(arguments: SymbolArguments) -> ReadSubject:
    """Return the file that is read for certain."""
    given, _ = split_path(arguments.path)
    return ReadSubject(() if given is None else (given,))


async def locate(context: ToolContext, arguments: SymbolArguments) -> Located:
    """Return where the symbol stands; raise `ToolError` if that is nowhere or not one place."""
    name = arguments.symbol.rpartition(".")[2]
    given, line = split_path(arguments.path)
    if given is None:
        found = await _defined(context, arguments.symbol)
        return Located(found.symbol.place.point, name)
    file = await python_file(context, given)
    if line is not None:
        column = _column(context, file, arguments.symbol, line)
        return Located(Point(file.path, line, column), name, file.note)
    with workspace_errors():
        server = await context.workspace.language_server(file.path)
        outline = await server.symbols_of(file.path)
    matching = [each for each in flattened(outline) if _ends(each.qualified, arguments.symbol)]
    if matching:
        chosen = _only(context, arguments.symbol, matching)
        return Located(chosen.symbol.place.point, name, file.note)
    for line, column in name_positions(file.text, name):
        return Located(Point(file.path, line, column), name, file.note)
    shown = context.workspace.display(file.path)
    raise ToolError(f"{name} is not in {shown}; symbols shows what is")


async def python_file(context: ToolContext, path: str) -> TextFile:
    """Read a Python file; raise `ToolError` if it is none."""
    with workspace_errors():
        resolved = context.workspace.resolve(path)
        file = await context.workspace.read_text(resolved)
    if resolved.suffix not in SUFFIXES:
        raise ToolError(f"{context.workspace.display(resolved)} is not a Python file")
    return file


async def find_named(context: ToolContext, name: str) -> list[Named]:
    """Return the project's symbols of that name, which may be qualified, and where they are named.

    Of more files than 40 only the first are looked at.
    """
    last = name.rpartition(".")[2]
    found: dict[Point, Named] = {}
    roots = context.workspace.roots
    for root in roots:
        with workspace_errors():
            server = await context.workspace.language_server(root)
            near = await server.symbols_named(last)
        paths = [each.place.path for each in near if each.name == last]
        for path in list(dict.fromkeys(paths))[:_MAX_FILES]:
            if root_around(roots, path) != root:
                continue
            with workspace_errors():
                outline = await server.symbols_of(path)
            for each in flattened(outline, _module(path.relative_to(root))):
                if _ends(each.qualified, name):
                    found.setdefault(each.symbol.place.point, each)
    return list(found.values())


def flattened(symbols: Sequence[Symbol], within: str = "") -> Iterator[Named]:
    """Yield the symbols and those in them, in their order."""
    for symbol in symbols:
        qualified = f"{within}.{symbol.name}" if within else symbol.name
        yield Named(qualified, symbol)
        yield from flattened(symbol.children, qualified)


def name_positions(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Yield line (from 1) and column of each place where `name` is a name in the code.

    In a text that is not Python, all places where it is a word.
    """
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError, ValueError):
        for number, line in enumerate(split_lines(text), start=1):
            for match in re.finditer(rf"\b{re.escape(name)}\b", line):
                yield number, match.start()
        return
    for token in tokens:
        if token.type == tokenize.NAME and token.string == name:
            yield token.start


async def _defined(context: ToolContext, name: str) -> Named:
    matching = await find_named(context, name)
    if not matching:
        raise ToolError(
            f"the project defines no {name}; give the path:line of a place where it is used"
        )
    return _only(context, name, matching)


def _only(context: ToolContext, name: str, matching: Sequence[Named]) -> Named:
    """Return the one symbol that is meant; one that is defined several times counts once."""
    places = {(each.qualified, each.symbol.place.path): each for each in reversed(matching)}
    if len(places) == 1:
        return matching[0]
    display = context.workspace.display
    rows = [
        f"{display(each.symbol.place.path)}:{each.symbol.place.line} {each.qualified}"
        for each in list(reversed(places.values()))[:_NAMED]
    ]
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    raise ToolError(
        f"{len(places)} symbols are called {name}; give one's path:line: {', '.join(rows)}{more}"
    )


def _column(context: ToolContext, file: TextFile, symbol: str, line: int) -> int:
    """Return where the symbol's own name begins on a line."""
    lines = split_lines(file.text)
    shown = context.workspace.display(file.path)
    if not 1 <= line <= len(lines):
        raise ToolError(f"{shown} has {len(lines)} lines, and so no line {line}")
    name = symbol.rpartition(".")[2]
    for wanted in dict.fromkeys((symbol, name)):
        match = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", lines[line - 1])
        if match:
            return match.end() - len(name)
    others = sorted(
        {number for number, _ in name_positions(file.text, name)},
        key=lambda number: abs(number - line),
    )
    where = ", ".join(map(str, sorted(others[:_NAMED])))
    hint = f"it is on line{'s' if len(others) > 1 else ''} {where}" if others else "nor elsewhere"
    raise ToolError(f"{name} is not on line {line} of {shown}, {hint}")


def _module(path: Path) -> str:
    """Return the dotted name of a module by its path below a root."""
    parts = list(path.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def _ends(qualified: str, name: str) -> bool:
    return qualified == name or qualified.endswith(f".{name}")
