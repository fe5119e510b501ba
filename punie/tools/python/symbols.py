"""symbols: what a Python file defines, or where in the project something of a name is defined."""

from pydantic import JsonValue
from typing_extensions import TypedDict

from punie.tools.base import Returns, Tool, ToolArguments, ToolContext, ToolError, ToolResult, noted
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.python.locating import find_named, flattened, python_file
from punie.tools.python.places import fitted, locations, row, shown_line
from punie.tools.subjects import ReadSubject
from punie.tools.wording import count, fenced, one_line
from punie.workspace.lsp.model import Symbol

_SHOWN_CHARS = 80


class SymbolsArguments(ToolArguments):
    """What to show."""

    path: str | None = None
    """The file whose symbols are shown."""
    symbol: str | None = None
    """Only those of this name, which may be qualified; without a path, those of the project."""


class SymbolData(TypedDict):
    """A symbol, as code gets it; `name` has the names of what it is in before its own."""

    path: str
    line: int
    name: str
    kind: str


async def present(context: ToolContext, arguments: SymbolsArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside or no question."""
    if arguments.path is None:
        if not arguments.symbol:
            raise ToolError("give the path of a Python file, or a symbol to look up in the project")
        return Presentation(title=f"Symbols {_quoted(arguments.symbol)}", kind="search")
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
    named = f" {_quoted(arguments.symbol)}" if arguments.symbol else ""
    return Presentation(
        title=f"Symbols{named} of {context.workspace.display(path)}",
        kind="search",
        locations=(Location(path=path),),
    )


def _quoted(name: str) -> str:
    return f'"{one_line(name, _SHOWN_CHARS)}"'


async def run(context: ToolContext, arguments: SymbolsArguments) -> ToolResult:
    """Return a row for each symbol."""
    presentation = await present(context, arguments)
    if arguments.path is None:
        return await _in_project(context, presentation, arguments.symbol or "")
    file = await python_file(context, arguments.path)
    with workspace_errors():
        server = await context.workspace.language_server(file.path)
        outline = await server.symbols_of(file.path)
    rows: list[str] = []
    found: list[JsonValue] = []
    for each in flattened(outline):
        if arguments.symbol and not f".{each.qualified}".endswith(f".{arguments.symbol}"):
            continue
        depth = 0 if arguments.symbol else each.qualified.count(".")
        rows.append(f"{each.symbol.place.line}:{'  ' * depth}{_shown(each.symbol)}")
        found.append(_data(context, each.qualified, each.symbol))
    text = fitted(context, rows or ["(no symbols)"], "give a symbol, or read the file")
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {count(len(rows), 'symbol')}",
            "content": (fenced(text, "python"),),
        }
    )
    return noted(ToolResult(text, shown, found), file.note)


async def _in_project(context: ToolContext, presentation: Presentation, name: str) -> ToolResult:
    named = await find_named(context, name)
    rows = [f"{row(context, each.symbol.place)}" for each in named]
    text = fitted(context, rows or ["(no symbols of that name; search for it)"], "qualify the name")
    places = [each.symbol.place for each in named]
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {count(len(rows), 'symbol')}",
            "locations": locations(places),
            "content": (fenced(text),),
        }
    )
    found = [_data(context, each.qualified, each.symbol) for each in named]
    return ToolResult(text, shown, found)


def _shown(symbol: Symbol) -> str:
    """Return a symbol's line of code; its name where the line does not hold it."""
    line = shown_line(symbol.place)
    return line if symbol.name in line else f"{symbol.kind} {symbol.name}"


def _data(context: ToolContext, qualified: str, symbol: Symbol) -> JsonValue:
    place = symbol.place
    return {
        "path": context.workspace.display(place.path),
        "line": place.line,
        "name": qualified,
        "kind": symbol.kind,
    }


SYMBOLS = Tool(
    name="symbols",
    description="Outline a Python file, or find a name.",
    arguments=SymbolsArguments,
    effect="read",
    present=present,
    run=run,
    subject=lambda arguments: ReadSubject(() if arguments.path is None else (arguments.path,)),
    returns=Returns(list[SymbolData], "The symbols of a Python file, or the project's of a name."),
)
