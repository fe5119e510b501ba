"""definition, references and hover: what stands behind a name in the code."""

from collections.abc import Sequence

from punie.tools.base import Returns, Tool, ToolContext, ToolError, ToolResult, noted
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Presentation
from punie.tools.python.foreign import is_foreign, is_led_to, leads_out, masked
from punie.tools.python.locating import Located, SymbolArguments, locate, subject, title
from punie.tools.python.places import PlaceData, data, fitted, lines_of, locations, row
from punie.tools.wording import count, cut, fenced
from punie.workspace.lsp.model import Place


async def present_definition(context: ToolContext, arguments: SymbolArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside or no name."""
    return title(context, "Definition of", arguments, "search")


async def present_references(context: ToolContext, arguments: SymbolArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside or no name."""
    return title(context, "References to", arguments, "search")


async def present_hover(context: ToolContext, arguments: SymbolArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside or no name."""
    return title(context, "Type of", arguments, "read")


async def run_definition(context: ToolContext, arguments: SymbolArguments) -> ToolResult:
    """Return the lines that define the symbol, those of other people's code included."""
    presentation = await present_definition(context, arguments)
    located = await locate(context, arguments)
    with workspace_errors():
        server = await context.workspace.language_server(located.point.path)
        (found,) = await server.definitions([located.point])
    nothing = f"(nothing is known of {located.name}; search for it)"
    return _result(context, presentation, located, lines_of(found), nothing, "definition")


async def run_references(context: ToolContext, arguments: SymbolArguments) -> ToolResult:
    """Return the lines that use or define the symbol."""
    presentation = await present_references(context, arguments)
    located = await locate(context, arguments)
    with workspace_errors():
        server = await context.workspace.language_server(located.point.path)
        found = await server.references(located.point)
    nothing = f"(nothing is known of {located.name}; search for it)"
    return _result(context, presentation, located, lines_of(found), nothing, "line")


def _result(
    context: ToolContext,
    presentation: Presentation,
    located: Located,
    places: Sequence[Place],
    nothing: str,
    noun: str,
) -> ToolResult:
    rows = [row(context, place) for place in places] or [nothing]
    text = fitted(context, rows, "search with a path for the others")
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {count(len(places), noun)}",
            "locations": locations(places) or presentation.locations,
            "content": (fenced(text),),
        }
    )
    return noted(ToolResult(text, shown, data(context, places)), located.note)


async def run_hover(context: ToolContext, arguments: SymbolArguments) -> ToolResult:
    """Return the type or signature and the documentation of the symbol."""
    presentation = await present_hover(context, arguments)
    located = await locate(context, arguments)
    with workspace_errors():
        server = await context.workspace.language_server(located.point.path)
        said = await server.hover(located.point)
        (places,) = await server.definitions([located.point])
        said = await _may_be_said(context, said, located, places)
    text = cut(said, context.limits.result_chars) or f"(nothing is known of {located.name})"
    shown = presentation.model_copy(update={"content": (fenced(text, "python"),)})
    return noted(ToolResult(text, shown), located.note)


async def _may_be_said(
    context: ToolContext, said: str, located: Located, places: Sequence[Place]
) -> str:
    """Return what the server said of a symbol without what is only in foreign code."""
    workspace = context.workspace
    if any(is_led_to(workspace, place.path) for place in places):
        raise ToolError(
            f"{located.name} is defined in a file that is not shown: a link in the project leads "
            "to it, or it may hold secrets"
        )
    if not await leads_out(workspace):
        return said
    text = (await workspace.read_text(located.point.path)).text
    # What follows is the documentation, of another name perhaps.
    shown, _, documentation = said.partition("\n---")
    own = any(not is_foreign(workspace, place.path) for place in places)
    return masked(said if own and documentation.strip("- \n") in text else shown, text)


DEFINITION = Tool(
    name="definition",
    description="Where a symbol is defined; path: a.py:9.",
    arguments=SymbolArguments,
    effect="read",
    present=present_definition,
    run=run_definition,
    subject=subject,
    returns=Returns(list[PlaceData], "Where a Python symbol is defined."),
)

REFERENCES = Tool(
    name="references",
    description="Uses of a symbol.",
    arguments=SymbolArguments,
    effect="read",
    present=present_references,
    run=run_references,
    subject=subject,
    returns=Returns(list[PlaceData], "All lines that use a Python symbol."),
)

HOVER = Tool(
    name="hover",
    description="A symbol's type and docs.",
    arguments=SymbolArguments,
    effect="read",
    present=present_hover,
    run=run_hover,
    subject=subject,
)
