"""Turns with the real tools on a real folder, and with a place for rules."""

from dataclasses import dataclass, field, replace
from json import dumps
from typing import Any

from punie.agent.events import ToolFinished, TurnEvent
from punie.agent.permissions.store import Permissions
from punie.agent.turn_config import TurnConfig
from punie.tools.base import Tool, ToolArguments, ToolContext, ToolResult
from punie.tools.catalog import ALL_TOOLS
from punie.tools.code.run_code import run_code_tool
from punie.tools.presentation import Presentation
from punie.workspace.local import LocalWorkspace
from tests.agent.stage import Piece, Stage, call, scripted


class SendArguments(ToolArguments):
    to: str


async def present_send(context: ToolContext, arguments: SendArguments) -> Presentation:
    return Presentation(title="Send", kind="other")


async def send(context: ToolContext, arguments: SendArguments) -> ToolResult:
    return ToolResult("sent", await present_send(context, arguments))


SEND = Tool("post_send", "Send a message.", SendArguments, "external", present_send, send)


@dataclass
class Scene(Stage):
    workspace: LocalWorkspace = field(kw_only=True)
    permissions: Permissions = field(kw_only=True)
    code_mode: bool = False

    def config(self) -> TurnConfig:
        return replace(
            super().config(),
            tools=(run_code_tool(ALL_TOOLS),) if self.code_mode else (*ALL_TOOLS, SEND),
            workspace=self.workspace,
            permissions=self.permissions,
        )


def use(tool: str, **arguments: Any) -> list[Piece]:
    return [call(tool, dumps(arguments))]


async def play(scene: Scene, *uses: list[Piece], answer: str | None = None) -> list[TurnEvent]:
    """Run one turn in which the model makes these calls."""
    before = sum(event.kind == "usage" for event in scene.events)
    answers: list[list[Piece]] = [*uses, ["Done."]]
    scene.model = scripted(lambda done, messages: answers[done - before])
    scene.asked.clear()
    if answer is not None:
        scene.answer = answer
    return await scene.turn("go")


def results(events: list[TurnEvent]) -> list[str]:
    return [event.result for event in events if isinstance(event, ToolFinished)]
