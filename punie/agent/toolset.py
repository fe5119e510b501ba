"""Our tools as a model sees them, and its calls as we read them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_ai.messages import InstructionPart, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from punie.agent.instructions import INSTRUCTIONS
from punie.agent.nearest_call import closest_call, nearest_arguments, shown_call
from punie.tools.base import AnyTool, Effect, ToolArguments
from punie.tools.parameters import parameters_schema
from punie.tools.presentation import Presentation, ToolKind
from punie.tools.shape import shape
from punie.tools.wording import one_line

MALFORMED = "malformed tool call"
"""Key in the details of a call's part, where our models say why the call cannot be read."""

_MAX_NAMED_FAULTS = 3
_TITLE_CHARS = 80
_KINDS: dict[Effect, ToolKind] = {
    "read": "read",
    "edit": "edit",
    "execute": "execute",
    "external": "other",
}


def tool_definitions(tools: Sequence[AnyTool]) -> list[ToolDefinition]:
    """Return what the model is told about the tools, in the order given."""
    return [
        ToolDefinition(
            name=tool.name,
            description=tool.description,
            parameters_json_schema=parameters_schema(tool),
            sequential=True,
        )
        for tool in tools
    ]


def request_parameters(
    definitions: Sequence[ToolDefinition], instructions: str
) -> ModelRequestParameters:
    """Return what every request to the model says besides its messages."""
    return ModelRequestParameters(
        function_tools=list(definitions),
        instruction_parts=[InstructionPart(content=instructions)],
    )


def turn_parameters(
    tools: Sequence[AnyTool], instructions: str = INSTRUCTIONS
) -> ModelRequestParameters:
    """Return what every request of a turn with these tools says besides its messages."""
    return request_parameters(tool_definitions(tools), instructions)


def _shape(tool: AnyTool) -> str:
    return shape(parameters_schema(tool))


@dataclass(frozen=True)
class ReadyCall:
    """A call with valid arguments."""

    tool: AnyTool
    arguments: ToolArguments


@dataclass(frozen=True)
class BrokenCall:
    """A call that cannot run; `result` tells the model why."""

    result: str


def read_call(part: ToolCallPart, tools: Sequence[AnyTool]) -> ReadyCall | BrokenCall:
    """Check a call of the model against the tools."""
    tool = next((tool for tool in tools if tool.name == part.tool_name), None)
    names = ", ".join(tool.name for tool in tools) or "none"
    reason = (part.provider_details or {}).get(MALFORMED)
    if isinstance(reason, str):
        known = f"the tools are {names}" if tool is None else f"{tool.name}: {_shape(tool)}"
        return BrokenCall(f"error: {reason} ({known})")
    if tool is None:
        return BrokenCall(f"error: there is no tool {part.tool_name!r}; {_instead(part, tools)}")
    try:
        raw = part.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError):
        return BrokenCall(
            f"error: {tool.name}: the arguments are not a JSON object; {_shape(tool)}"
        )
    try:
        return ReadyCall(tool, tool.arguments.model_validate(raw))
    except ValidationError as first:
        repaired = _repair(raw, first)
        if repaired is not None:
            try:
                return ReadyCall(tool, tool.arguments.model_validate(repaired))
            except ValidationError:
                pass
        return BrokenCall(f"error: {tool.name}: {_faults(first)}; {_right_call(tool, raw)}")


def _instead(part: ToolCallPart, tools: Sequence[AnyTool]) -> str:
    """Say what could have been called in place of a tool that there is not."""
    try:
        raw = part.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError):
        raw = {}
    closest = closest_call(part.tool_name, raw, tools)
    if closest is None:
        return f"the tools are {', '.join(tool.name for tool in tools) or 'none'}"
    tool, given = closest
    return f"use {tool.name}: {_right_call(tool, given)}"


def _right_call(tool: AnyTool, raw: dict[str, Any]) -> str:
    """Say what a valid call would be: the nearest to these arguments, or the shape of all."""
    nearest = nearest_arguments(tool, parameters_schema(tool), raw) if raw else None
    if nearest is None:
        return _shape(tool)
    return f"the nearest valid call is {shown_call(tool, nearest)}"


def _repair(raw: dict[str, Any], error: ValidationError) -> dict[str, Any] | None:
    """Undo two habits of models: null for "not given", and JSON text where a value belongs."""
    repaired = dict(raw)
    for fault in error.errors():
        name = fault["loc"][0] if fault["loc"] else None
        if not isinstance(name, str) or name not in repaired:
            return None
        value = repaired[name]
        if value is None:
            del repaired[name]
        elif isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
            try:
                repaired[name] = json.loads(value)
            except ValueError:
                return None
        else:
            return None
    return repaired


def _faults(error: ValidationError) -> str:
    faults = error.errors()
    said = []
    for fault in faults[:_MAX_NAMED_FAULTS]:
        name = ".".join(str(step) for step in fault["loc"]) or "the arguments"
        match fault["type"]:
            case "missing":
                said.append(f"{name} is missing")
            case "extra_forbidden":
                said.append(f"{name} is not an argument")
            case _:
                message = fault["msg"][:1].lower() + fault["msg"][1:]
                said.append(f"{name}: {message}")
    if len(faults) > _MAX_NAMED_FAULTS:
        said.append(f"and {len(faults) - _MAX_NAMED_FAULTS} more")
    return ", ".join(said)


def plain_presentation(part: ToolCallPart, call: ReadyCall | BrokenCall) -> Presentation:
    """Describe a call that has no better picture: the tool's name and its main argument."""
    effect = call.tool.effect_with(call.arguments) if isinstance(call, ReadyCall) else None
    return call_presentation(part.tool_name, part.args_as_dict(), effect)


def call_presentation(
    tool: str, arguments: Mapping[str, Any], effect: Effect | None
) -> Presentation:
    """Describe a call by the tool's name and its main argument; None: the tool is not known."""
    kind: ToolKind = _KINDS[effect] if effect is not None else "other"
    main = next((value for value in arguments.values() if isinstance(value, str)), "")
    line = main.strip().splitlines()[0] if main.strip() else ""
    title = f"{tool}: {line}" if line else tool
    return Presentation(title=one_line(title, _TITLE_CHARS) or "tool call", kind=kind)
