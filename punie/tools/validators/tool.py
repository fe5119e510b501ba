"""validate: mistakes that linters and type checkers do not know of."""

from punie.tools.base import Tool, ToolContext, ToolResult, noted
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.python.targets import PathArguments, described, find_target
from punie.tools.subjects import ReadSubject
from punie.tools.validators.running import Found, Outcome, load_validators, validate
from punie.tools.wording import count, fenced, fitting_rows

_TRAILER_ROOM = 100
_MAX_LOCATIONS = 20
_MAX_NOTES = 5


async def present(context: ToolContext, arguments: PathArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside."""
    return described(context, "Validate", arguments.path, "search")


async def run(context: ToolContext, arguments: PathArguments) -> ToolResult:
    """Run every validator and return what they found, a row for each issue."""
    presentation = await present(context, arguments)
    target = await find_target(context, arguments.path)
    with workspace_errors():
        validators, notes = load_validators()
        outcome = await validate(context.workspace, target, validators, notes)
    text = _text(outcome, context.limits.result_chars)
    number = count(len(outcome.found), "issue")
    places = tuple(
        Location(path=context.workspace.resolve(found.path), line=found.issue.line)
        for found in outcome.found[:_MAX_LOCATIONS]
    )
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {number}",
            "locations": places or presentation.locations,
            "content": (fenced(text),),
        }
    )
    return noted(ToolResult(text, shown), "" if target.file is None else target.file.note)


def row(found: Found) -> str:
    """Return an issue in one line."""
    issue = found.issue
    suggestion = f" ({issue.suggestion})" if issue.suggestion else ""
    where = f"{found.path}:{issue.line} {issue.rule}"
    return f"{where} {issue.severity}: {issue.message}{suggestion}"


def _text(outcome: Outcome, limit: int) -> str:
    notes = [f"({note})" for note in outcome.notes[:_MAX_NOTES]]
    room = limit - _TRAILER_ROOM - sum(len(note) + 1 for note in notes)
    rows = fitting_rows(map(row, outcome.found), room)
    if len(rows) < len(outcome.found):
        rows.append(f"(first {len(rows)} of {len(outcome.found)} issues; name a smaller path)")
    if not rows:
        rows.append(f"no issues in {count(outcome.checked, 'file')}")
    return "\n".join([*rows, *notes])


VALIDATE = Tool(
    name="validate",
    description="Check Python beyond linting.",
    arguments=PathArguments,
    effect="read",
    present=present,
    run=run,
    subject=lambda arguments: ReadSubject((arguments.path,)),
)
