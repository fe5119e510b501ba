"""What every tool is made of: typed arguments, a runner, a presenter and its effect."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, JsonValue
from pydantic_core import CoreSchema

from punie.logs.credentials import BY_SHAPE, Credentials
from punie.tools.presentation import Presentation, TextContent
from punie.tools.subjects import Subject
from punie.workspace.base import TerminalSink, Workspace

Effect = Literal["read", "edit", "execute", "external"]
"""What a call can do: look, change files in the workspace, run a process, or act through a server
that somebody else runs, where nothing is known of what it does."""


EditChecks = Literal["in_time", "whole", "off"]
"""How edits look for the problems that they bring into Python files: for as long as a person would
wait, to the end of it, so that the result is always the same, or not at all."""


class ToolError(Exception):
    """The call could not be done; the message says what was wrong and what would work."""


class ToolArguments(BaseModel):
    """Base of every tool's arguments; unknown names are errors, so that typos are noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Leave out what goes without saying, since a model reads it in every request.

        Every tool refuses other names, and what guides our models' calls takes objects with listed
        properties to have no others.
        """
        made = handler(core_schema)
        schema = handler.resolve_ref_schema(made)
        schema.pop("additionalProperties", None)
        for shape in schema.get("properties", {}).values():
            if "default" in shape and shape["default"] in (False, 0, "."):
                del shape["default"]
        return made


@dataclass
class ReadLedger:
    """Digests of the files as this session's model last saw them, to refuse stale edits."""

    digests: dict[Path, str] = field(default_factory=dict)

    def saw(self, path: Path, digest: str) -> None:
        """Remember the content that the model has just seen or written."""
        self.digests[path] = digest

    def forget(self, path: Path) -> None:
        """Forget a file that is gone."""
        self.digests.pop(path, None)

    def moved(self, path: Path, to: Path) -> None:
        """Remember a file, or all files of a folder, by their new paths."""
        for old in [each for each in self.digests if each.is_relative_to(path)]:
            self.digests[to / old.relative_to(path)] = self.digests.pop(old)

    def is_stale(self, path: Path, digest: str) -> bool:
        """Tell whether the file changed after the model saw it; never seen is not stale."""
        return self.digests.get(path, digest) != digest


@dataclass
class WorkedOut:
    """What the last call was shown to do, so that it is not worked out again when it is run.

    `key` is all that it depends on: whoever takes it out compares that first.
    """

    key: object = None
    plan: object = None


class Progress(Protocol):
    """Receives growing output of a running tool."""

    async def __call__(self, text: str) -> None:
        """Append `text` to what the person sees."""
        ...


async def no_progress(text: str) -> None:
    """Drop progress text."""


async def no_terminal(terminal_id: str) -> None:
    """Let nobody know of a terminal."""


@dataclass(frozen=True)
class PlanStep:
    """One step of the model's plan."""

    content: str
    status: Literal["pending", "in_progress", "completed"]
    priority: Literal["high", "medium", "low"] = "medium"


ShowPlan = Callable[[Sequence[PlanStep]], Awaitable[None]]
"""Shows the whole plan to the person in place of the one before."""


async def no_plan(steps: Sequence[PlanStep]) -> None:
    """Show the plan to nobody."""


@dataclass(frozen=True)
class Question:
    """What the model wants to know from the person; `choices` are answers to pick from."""

    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answered:
    """What the person said."""

    text: str


@dataclass(frozen=True)
class NotAnswered:
    """Nothing was said; `reason` is what the model reads, as an error without its prefix."""

    reason: str


class QuestionCancelled(Exception):  # noqa: N818 - it names a state
    """The person cancelled the turn in place of an answer."""


AskPerson = Callable[[Question], Awaitable[Answered | NotAnswered]]
"""Puts a question to the person and waits for as long as it takes; may raise
`QuestionCancelled`."""

ASK_IN_TEXT = "nobody can be asked by a tool here; end the turn with the question as your answer"
DECLINED = "the user did not answer; decide yourself, or end the turn with what you need to know"


async def ask_nobody(question: Question) -> Answered | NotAnswered:
    """Tell that there is no way to ask."""
    return NotAnswered(ASK_IN_TEXT)


@dataclass(frozen=True)
class CallOutcome:
    """What came of a call that a running tool made of another tool.

    `denied` tells that the user, a rule or the mode did not allow it, which is a failure too.
    `data` is what the other tool made for code, see `ToolResult`.
    """

    text: str
    failed: bool = False
    denied: bool = False
    data: JsonValue = None


class CallTool(Protocol):
    """Makes a call of another tool, by all rules that hold for the model's own calls."""

    async def __call__(
        self, tool: "AnyTool", arguments: Mapping[str, Any], *, may_ask: bool
    ) -> CallOutcome:
        """Take the call to its end; unless `may_ask`, what needs a question is denied.

        Raises `QuestionCancelled` if the person cancelled the turn in place of an answer.
        """
        ...


async def call_nothing(
    tool: "AnyTool", arguments: Mapping[str, Any], *, may_ask: bool
) -> CallOutcome:
    """Tell that there is no way to make calls."""
    raise ToolError("no other tool can be called from here")


Explore = Callable[[str], Awaitable[str]]
"""Has something found out in a conversation of its own; raises `ToolError` if nothing comes of it,
and `QuestionCancelled` as calls do."""


async def explore_nothing(task: str) -> str:
    """Tell that there is no other conversation."""
    raise ToolError("nothing can be explored from here; look yourself")


@dataclass(frozen=True)
class ToolLimits:
    """Caps: characters of a result that the model reads, and seconds a command may run."""

    result_chars: int = 16_000
    command_seconds: float = 120.0


@dataclass(frozen=True)
class ToolContext:
    """What a running tool may use; `show_terminal` is told where its output can be watched.

    Results are masked with `secrets` without a tool's doing; an edit asks it what was not shown.
    `check_edits` tells how edits look for the problems that they bring into Python files.
    `worked_out` is the room for a plan that is costly to make.
    """

    workspace: Workspace
    reads: ReadLedger
    limits: ToolLimits = ToolLimits()
    progress: Progress = no_progress
    plan: ShowPlan = no_plan
    ask: AskPerson = ask_nobody
    show_terminal: TerminalSink = no_terminal
    secrets: Credentials = BY_SHAPE
    call: CallTool = call_nothing
    explore: Explore = explore_nothing
    check_edits: EditChecks = "in_time"
    worked_out: WorkedOut = field(default_factory=WorkedOut)


@dataclass(frozen=True)
class ToolResult:
    """What came of a call: the text for the model and the picture for the person.

    `data` is what code in code mode gets in place of the text, of the type that `Tool.returns`
    says; None is the text.
    """

    text: str
    presentation: Presentation
    data: JsonValue = None


def noted(result: ToolResult, note: str) -> ToolResult:
    """Return the result with a note below it, for the model and the person, if there is one."""
    if not note:
        return result
    shown = result.presentation
    content = (*shown.content, TextContent(text=f"Note: {note}."))
    return replace(
        result,
        text=f"{result.text}\n(note: {note})",
        presentation=shown.model_copy(update={"content": content}),
    )


@dataclass(frozen=True)
class Returns:
    """What code in code mode gets from a tool: `type` is made of plain JSON types and TypedDicts.

    `description` is said there in place of the tool's own, which speaks of the text.
    """

    type: Any
    description: str


Arguments = TypeVar("Arguments", bound=ToolArguments)


@dataclass(frozen=True)
class Tool(Generic[Arguments]):
    """One tool. `description` is what the model reads; `effect` the most that a call can do.

    `effect_of` says what one call does, where some do less.

    `parameters` is the JSON schema that the model is given instead of the one of `arguments`.
    `present` describes a call before it runs (for an edit with the full diff) and must not change
    anything; `run` does it. Both raise `ToolError`. `subject` says what a call acts on, so that
    permission rules can speak of it; without it, and where it says None, they speak of the
    arguments. Whatever shows what is in files says which. `returns` describes
    the `data` of its results. `sketch` shows the arguments so far while the model writes them.
    `remarks` are for people who read docs/tools.md: what bounds a call, and when it does less.
    """

    name: str
    description: str
    arguments: type[Arguments]
    effect: Effect
    present: Callable[[ToolContext, Arguments], Awaitable[Presentation]]
    run: Callable[[ToolContext, Arguments], Awaitable[ToolResult]]
    parameters: Mapping[str, Any] | None = None
    subject: Callable[[Arguments], Subject | None] | None = None
    returns: Returns | None = None
    sketch: Callable[[Mapping[str, Any]], tuple[TextContent, ...]] | None = None
    effect_of: Callable[[Arguments], Effect] | None = None
    remarks: tuple[str, ...] = ()

    def effect_with(self, arguments: Arguments) -> Effect:
        """Return what a call with these arguments can do."""
        return self.effect if self.effect_of is None else self.effect_of(arguments)


AnyTool = Tool[Any]
