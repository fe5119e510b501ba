"""What a parser finds between the markers of a call, and the sentences for what it cannot use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ToolSchemas = Mapping[str, Mapping[str, Any]]
"""The JSON schema of each tool's arguments, by the tool's name."""


@dataclass(frozen=True)
class Call:
    """A whole call."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Block:
    """The calls of one block, in order.

    `loose` tells that closers were missing: more of the text might mean something else. `rest` is
    what stands behind the last function and belongs to none.
    """

    calls: tuple[Call, ...]
    loose: bool = False
    rest: str = ""


@dataclass(frozen=True)
class Fault:
    """Why a block holds no calls, as a sentence for the model.

    `unfinished` tells that more of the text could still make calls of it.
    """

    reason: str
    unfinished: bool = False


CUT_OFF = "The tool call was cut off before its end; repeat it, with shorter arguments."
NOT_CLOSED = (
    "The tool call ended inside an argument, before </parameter> and </function>; repeat the "
    "whole call and close both."
)
SEVERAL = (
    "Several functions stand in one <tool_call>, and it is not clear where the first one ends; "
    "write each call in a <tool_call> of its own."
)
NESTED = (
    "A second <tool_call> begins inside the arguments of the first, which does not end; repeat "
    "one whole call at a time."
)
NO_FUNCTION = "The tool call names no function."
NO_NAME = 'The tool call has no "name".'
NO_ARGUMENTS = 'The "arguments" of the tool call are not a JSON object.'
HALF_CHARACTER = (
    "The arguments hold half of a surrogate pair, which is no character; write it whole."
)


def properties_of(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the schemas of a tool's arguments by their names."""
    properties = (schema or {}).get("properties")
    return properties if isinstance(properties, Mapping) else {}


def has_required(arguments: Mapping[str, Any], schema: Mapping[str, Any] | None) -> bool:
    """Tell whether all arguments that the tool needs are there."""
    return all(name in arguments for name in (schema or {}).get("required") or ())


class RefusedError(Exception):
    """Ends the reading of a block; `fault` says why."""

    def __init__(self, reason: str, *, unfinished: bool = False) -> None:
        super().__init__(reason)
        self.fault = Fault(reason, unfinished)
