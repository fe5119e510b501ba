"""update_plan: the steps of the work, for the person to follow."""

from typing import Any, Literal

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from punie.tools.base import PlanStep, Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.presentation import Presentation
from punie.tools.wording import cut

_TITLE_CHARS = 80


class Step(ToolArguments):
    """One step."""

    content: str
    """What is done in it."""
    status: Literal["pending", "in_progress", "completed"]
    """How far it is."""
    priority: Literal["high", "medium", "low"] = "medium"
    """How urgent; models are not told of it, but many know it from elsewhere."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Leave out what no model has to think about."""
        made = super().__get_pydantic_json_schema__(core_schema, handler)
        handler.resolve_ref_schema(made).get("properties", {}).pop("priority", None)
        return made


class UpdatePlanArguments(ToolArguments):
    """The whole plan; an empty list clears it."""

    steps: list[Step]
    """All steps, done ones too."""


async def present(context: ToolContext, arguments: UpdatePlanArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a step that says nothing."""
    if any(not step.content.strip() for step in arguments.steps):
        raise ToolError("a step has no content; say what is done in it")
    return Presentation(title=_title(arguments.steps), kind="think")


async def run(context: ToolContext, arguments: UpdatePlanArguments) -> ToolResult:
    """Show the plan in place of the one before."""
    presentation = await present(context, arguments)
    await context.plan(
        [PlanStep(step.content.strip(), step.status, step.priority) for step in arguments.steps]
    )
    return ToolResult(_done(arguments.steps), presentation)


def _done(steps: list[Step]) -> str:
    if not steps:
        return "plan cleared"
    done = sum(step.status == "completed" for step in steps)
    return f"plan shown: {done} of {len(steps)} done"


def _title(steps: list[Step]) -> str:
    current = next((step for step in steps if step.status == "in_progress"), None)
    if current is not None:
        return cut(f"Plan: {' '.join(current.content.split())}", _TITLE_CHARS)
    return _done(steps).capitalize()


UPDATE_PLAN = Tool(
    name="update_plan",
    description="Show your plan for work of several steps: all, done ones too.",
    arguments=UpdatePlanArguments,
    effect="read",
    present=present,
    run=run,
)
