"""A call of the model that was started and has no result yet."""

from dataclasses import dataclass
from typing import Any, assert_never

from pydantic_ai.messages import ToolCallPart

from punie.agent.loop_guard import MadeCall
from punie.agent.toolset import BrokenCall, ReadyCall
from punie.tools.presentation import Presentation


@dataclass
class OpenCall:
    """A call that was started and has no result yet; unless `may_ask`, a question is a no.

    `parent` is the call whose code made it.
    """

    part: ToolCallPart
    call: ReadyCall | BrokenCall
    message_id: str
    presentation: Presentation
    parent: str | None = None
    may_ask: bool = True

    @property
    def given(self) -> dict[str, Any]:
        """The arguments; none if they are no JSON, which the call's result then says."""
        try:
            return self.part.args_as_dict(raise_if_invalid=True)
        except (ValueError, AssertionError):
            return {}

    def made(self, result: str, *, failed: bool) -> MadeCall:
        """Return the call with its result; an argument that was left out is as if given."""
        match self.call:
            case ReadyCall(tool=tool, arguments=arguments):
                given = arguments.model_dump(mode="json")
                return MadeCall(tool.name, given, tool.effect_with(arguments), result, failed)
            case BrokenCall():
                return MadeCall(self.part.tool_name, self.given, "read", result, failed)
            case _:
                assert_never(self.call)
