"""Work made by hand, for judges."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from punie.evaluation.session import project_files
from punie.evaluation.work import Executed, Work
from punie.models.scripted import (
    Script,
    ScriptedCall,
    ScriptedModel,
    ScriptedResponse,
    ScriptedStream,
)
from punie.training.data.example import Function, Message, ToolCall


def called(
    tool: str,
    arguments: Mapping[str, Any],
    result: str = "",
    *,
    ran: bool = True,
    failed: bool = False,
) -> Executed:
    call = Function(name=tool, arguments=dict(arguments))
    return Executed(call, result, ran=ran, failed=failed)


def work_of(
    answer: str,
    *executed: Executed,
    prompt: str = "Do it.",
    root: Path | None = None,
    seconds: float = 0.0,
) -> Work:
    """Return the work of a model that made these calls one by one and then answered."""
    messages = [Message(role="user", content=prompt)]
    for each in executed:
        messages.append(Message(role="assistant", tool_calls=(ToolCall(function=each.call),)))
        messages.append(Message(role="tool", content=each.result))
    messages.append(Message(role="assistant", content=answer))
    return Work(
        messages=tuple(messages),
        files={} if root is None else project_files(root),
        stop="end_turn",
        executed=executed,
        seconds=seconds,
    )


def saying(work: Work, prompt: str, answer: str) -> Work:
    """Return work that went on with another prompt, which was answered without a call."""
    more = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
    return replace(work, messages=(*work.messages, *more))


def says(text: str) -> ScriptedResponse:
    return ScriptedResponse(text=text, chunks=1)


def calls(tool: str, **arguments: Any) -> ScriptedResponse:
    return ScriptedResponse(calls=(ScriptedCall(tool=tool, arguments=arguments),), chunks=1)


class InTurn(ScriptedModel):
    """A model that gives its responses one by one, whatever the history still holds."""

    def __init__(self, responses: Sequence[ScriptedResponse]) -> None:
        super().__init__(Script(responses=tuple(responses)))
        self._left = iter(responses)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        yield ScriptedStream(
            model_request_parameters=parameters,
            response=next(self._left),
            name=self.model_name,
            prompt_tokens=100,
        )
