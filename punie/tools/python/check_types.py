"""check_types: what ty has to say about the types of a file, a folder or the project."""

from punie.tools.base import Returns, Tool, ToolContext, ToolResult, noted
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Presentation
from punie.tools.python.problems import ProblemData, reported
from punie.tools.python.targets import PathArguments, described, find_target
from punie.tools.python.ty import check_paths
from punie.tools.subjects import ReadSubject


async def present(context: ToolContext, arguments: PathArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside."""
    return described(context, "Check types of", arguments.path, "search")


async def run(context: ToolContext, arguments: PathArguments) -> ToolResult:
    """Run ty and return what it found, a row for each problem."""
    presentation = await present(context, arguments)
    target = await find_target(context, arguments.path)
    with workspace_errors():
        problems = await check_paths(context, [target.path], target.root)
    result = reported(context, presentation, problems, context.limits.result_chars)
    note = "" if target.file is None else target.file.note
    return noted(result, note)


CHECK_TYPES = Tool(
    name="check_types",
    description="Check Python types.",
    arguments=PathArguments,
    effect="read",
    present=present,
    run=run,
    subject=lambda arguments: ReadSubject((arguments.path,)),
    returns=Returns(list[ProblemData], "Check Python types."),
)
