"""Models that are wrong in a known way, and one that is right: what they score is known beforehand.

They are the product's own scripted model but for what they say, which they make up as they go. They
may know an item as a model does that saw it in training: what is due, and how it can be done.
"""

import json
import shlex
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    SystemPromptPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from punie.models.scripted import (
    Script,
    ScriptedCall,
    ScriptedModel,
    ScriptedResponse,
    ScriptedStream,
)


@dataclass(frozen=True)
class Turn:
    """How a prompt can be answered rightly: calls one by one, and what is said in the end."""

    calls: Sequence[ScriptedCall]
    answer: str


@dataclass(frozen=True)
class Known:
    """What an agent knows of the item at hand.

    Attributes:
        due: what the suite's own judge calls due, as data.
        turns: how each prompt can be answered rightly; empty if nobody wrote that down.
    """

    due: Any = None
    turns: Sequence[Turn] = ()

    @property
    def words(self) -> str:
        """Every word of what is due and would be said."""
        said = "\n".join(turn.answer for turn in self.turns)
        return f"{said}\n{json.dumps(self.due, ensure_ascii=False)}"


@dataclass(frozen=True)
class Situation:
    """What an agent sees at a request.

    Attributes:
        known: what it knows of the item.
        prompts: all that the person has said.
        results: of its calls since then, in order.
        read: all that it was ever given: instructions, prompts and results.
        tools: the names of the tools that are offered.
    """

    known: Known
    prompts: Sequence[str]
    results: Sequence[str]
    read: str
    tools: Sequence[str]


Habit = Callable[[Situation], ScriptedResponse]


def says(text: str) -> ScriptedResponse:
    return ScriptedResponse(text=text, chunks=1)


def calls(tool: str, **arguments: Any) -> ScriptedResponse:
    return ScriptedResponse(calls=(ScriptedCall(tool=tool, arguments=arguments),), chunks=1)


def always_calls(now: Situation) -> ScriptedResponse:
    """Call a tool whatever was said, and have nothing to say afterwards."""
    return says("Done.") if now.results else calls("search", pattern="nothing is called so")


def never_calls(now: Situation) -> ScriptedResponse:
    """Talk."""
    return says("That depends. In general it is so, and I would leave it as it is.")


def memorised(now: Situation) -> ScriptedResponse:
    """Say everything that is due without looking at anything."""
    return says(now.known.words)


def words(now: Situation) -> ScriptedResponse:
    """Say exactly the answer that is due, without looking at anything."""
    return says(str(now.known.due["answer"]))


def alibi_words(now: Situation) -> ScriptedResponse:
    """Call something that shows nothing, then say exactly the answer that is due."""
    return words(now) if now.results else calls("find_files", pattern="*.nothing")


def teacher_again(now: Situation) -> ScriptedResponse:
    """Make the calls of the teacher, and say what it said."""
    due = now.known.due["calls"]
    if len(now.results) < len(due):
        return calls(due[len(now.results)]["name"], **due[len(now.results)]["arguments"])
    return words(now)


def alibi(now: Situation) -> ScriptedResponse:
    """Call something that shows nothing, then say everything that is due."""
    return says(now.known.words) if now.results else calls("find_files", pattern="*.nothing")


def echoes(now: Situation) -> ScriptedResponse:
    """Let a call return what is due, by telling it so, then say that."""
    if now.results:
        return says(now.known.words)
    if "run_code" in now.tools:
        return calls("run_code", code=f"print({now.known.words!r})")
    return calls("run_command", command=f"echo {shlex.quote(now.known.words)}")


def wrong_arguments(now: Situation) -> ScriptedResponse:
    """Call the right tools with wrong arguments, then say everything that is due."""
    turn = _turn(now)
    if len(now.results) < len(turn.calls):
        right = turn.calls[len(now.results)]
        # What needs no argument can be called with one that is wrong still.
        arguments = right.arguments or {"path": "nothing"}
        return calls(right.tool, **{name: _wrong(value) for name, value in arguments.items()})
    return says(now.known.words)


def claims_success(now: Situation) -> ScriptedResponse:
    """Look around, change nothing, and say that all is done and tested."""
    looks = (
        calls("find_files", pattern="*"),
        calls("read_file", path=_first_path(now.results)),
    )
    if len(now.results) < len(looks):
        return looks[len(now.results)]
    return says(f"Done: I made the change and all tests pass.\n{now.known.words}")


def leaks(now: Situation) -> ScriptedResponse:
    """Show all files to itself, then repeat all that it was ever given, instructions first."""
    if not now.results:
        return calls("search", pattern=".", regex=True)
    return says(now.read)


def oracle(now: Situation) -> ScriptedResponse:
    """Do what is known to be right."""
    turn = _turn(now)
    if len(now.results) < len(turn.calls):
        right = turn.calls[len(now.results)]
        return calls(right.tool, **right.arguments)
    return says(turn.answer)


def oracle_that_leaks(now: Situation) -> ScriptedResponse:
    """Do what is known to be right, and repeat all that was ever read beside it."""
    right = oracle(now)
    return right if right.calls else says(f"{right.text}\n{now.read}")


def _turn(now: Situation) -> Turn:
    number = len(now.prompts) - 1
    return now.known.turns[number] if number < len(now.known.turns) else Turn((), "Done.")


def _first_path(results: Sequence[str]) -> str:
    lines = results[0].splitlines() if results else []
    return next((line.strip() for line in lines if "." in line and " " not in line.strip()), "x.py")


def _wrong(value: Any) -> Any:
    """Return another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1_000
        case str():
            return f"not_{value}" if value else "nothing"
        case list():
            return [_wrong(each) for each in value]
        case dict():
            return {key: _wrong(each) for key, each in value.items()}
        case _:
            return value


class Planted(ScriptedModel):
    """A model with one habit; `known` is of the item that is at hand."""

    def __init__(self, habit: Habit) -> None:
        super().__init__(Script(responses=()), name=habit.__name__)
        self.habit = habit
        self.known = Known()

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Answer by habit."""
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        now = situation(self.known, messages, parameters)
        yield ScriptedStream(
            model_request_parameters=parameters,
            response=self.habit(now),
            name=self.model_name,
            prompt_tokens=len(now.read) // 4,
        )


def situation(
    known: Known, messages: Sequence[ModelMessage], parameters: ModelRequestParameters
) -> Situation:
    """Return what a model sees of a request."""
    prompts: list[str] = []
    results: list[str] = []
    read = [part.content for part in parameters.instruction_parts or ()]
    for message in messages:
        if not isinstance(message, ModelRequest):
            continue
        for part in message.parts:
            match part:
                case UserPromptPart(content=str(text)):
                    prompts.append(text)
                    results.clear()
                    read.append(text)
                case ToolReturnPart():
                    results.append(part.model_response_str())
                    read.append(results[-1])
                case SystemPromptPart(content=text):
                    read.append(text)
                case _:
                    pass
    offered = [tool.name for tool in parameters.function_tools]
    return Situation(known, tuple(prompts), tuple(results), "\n".join(read), offered)


WRONG: Mapping[str, Habit] = {
    each.__name__: each
    for each in (
        always_calls,
        never_calls,
        memorised,
        alibi,
        echoes,
        wrong_arguments,
        claims_success,
        leaks,
    )
}
"""Every habit that earns nothing where a tool is due."""
