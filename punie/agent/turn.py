"""One turn: from a user's message to the end of the model's answer, as a stream of events."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import uuid4

import anyio
import pydantic_ai
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ContentFilterError
from pydantic_ai.messages import (
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import StreamedResponse
from pydantic_ai.usage import RequestUsage

from punie.agent.asking import Asking, AskPermission
from punie.agent.budget import Budget, context_window, fit_limits
from punie.agent.calls import CallRunner
from punie.agent.cancel import CancelSignal
from punie.agent.coalesce import Coalescer
from punie.agent.events import (
    Notice,
    PlanChanged,
    PlanEntry,
    ResponseCut,
    StopReason,
    TextDelta,
    ThoughtDelta,
    TurnEnded,
    UsageChanged,
    UserMessage,
)
from punie.agent.exploring import Explorer
from punie.agent.fitting import fullness_warning, make_room
from punie.agent.journal import Emit, Journal, PastTurns
from punie.agent.loop_guard import LoopGuard, limit_remark
from punie.agent.open_call import OpenCall
from punie.agent.policy import CANCELLED
from punie.agent.project_guides import ProjectGuides, guide_chars
from punie.agent.runaway import ResponseWatch, Runaway, reminder
from punie.agent.secret_values import SecretValues
from punie.agent.summary import Summariser
from punie.agent.title import prompt_words
from punie.agent.toolset import read_call, turn_parameters
from punie.agent.turn_config import TurnConfig
from punie.agent.writing import CallWriting
from punie.tools.base import PlanStep, ToolContext

pydantic_ai.BANNER_ENABLED = False  # it would land among our own output

_TEXT_SECONDS = 0.04
_TEXT_CHARS = 400
_CLOSING_SECONDS = 0.5
_NOT_RUN = "error: the turn ended before this call ran"
_CUT_OFF = "error: the answer reached its token limit before this call could run"
_NOT_WHOLE = "error: the answer was cut before this call could run"
_REPEATED = 'The model repeated "{}" over and over and was stopped; it tries once more.'
_REPEATED_AGAIN = (
    "The model repeated itself again and was stopped; say it differently or choose another model."
)
_MAX_REQUESTS = "Stopped after {} model calls in one turn; send a message to go on."

_TextKey = tuple[type[TextDelta] | type[ThoughtDelta], str]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Ending:
    """How the turn ends; `open_result` is what calls that did not run read."""

    reason: StopReason
    open_result: str = CANCELLED


_CANCELLED = _Ending("cancelled")


@dataclass(frozen=True)
class _Answer:
    """A response of the model and the calls in it, none of which has run."""

    message_id: str
    response: ModelResponse
    calls: list[OpenCall]
    runaway: Runaway | None


async def run_turn(
    config: TurnConfig,
    message: UserMessage,
    past: PastTurns,
    *,
    emit: Emit,
    ask: AskPermission,
    cancel: CancelSignal,
) -> TurnEnded:
    """Run one turn and return its last event, which was emitted like all others.

    `past` knows the session's events before `message`. The first event is `message`, the last is
    always `TurnEnded`, and every started call is finished in between, after a cancel and an error
    too. Trouble of models and tools is told in events and never raised; only what `emit` raises
    (perhaps in an exception group) and a cancellation from outside get out.
    """
    journal = Journal(emit, cancel, past)
    await journal.emit(message)
    if config.watch is not None:
        config.watch.recorder.begin_turn(message.message_id, prompt_words(message))
    ending = _CANCELLED
    try:
        with cancel.watching():
            ending = await _Turn(config, journal, ask).run()
    except anyio.get_cancelled_exc_class():
        # Cancelled from outside: leave a whole record behind if that is quickly done.
        with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
            await _close(journal, _CANCELLED)
        raise
    if config.watch is not None:
        await config.watch.end_turn()
    return await _close(journal, ending)


async def _close(journal: Journal, ending: _Ending) -> TurnEnded:
    await journal.finish_open_calls(ending.open_result)
    ended = TurnEnded(stop_reason=ending.reason)
    await journal.emit(ended)
    return ended


class _Turn:
    """The state of one running turn.

    The messages are made of the events and the calls run here, one after another, so that order,
    permission and results are wholly ours; pydantic-ai speaks with the model. Its agent loop would
    add nothing to that, and walks through the whole history many times before each request.
    """

    def __init__(self, config: TurnConfig, journal: Journal, ask: AskPermission) -> None:
        self._config = config
        self._journal = journal
        self._window = context_window(config.model)
        self._parameters = turn_parameters(config.tools, config.instructions)
        self._settings = config.request_settings
        self._budget = Budget(config.model, self._parameters, reserve=config.max_tokens)
        self._summariser = Summariser.of_turn(config)
        self._guides = ProjectGuides(
            config.workspace,
            lambda: journal.history.messages(),
            guide_chars(config.guide_tokens, self._window),
            config.user_folder,
        )
        self._secrets = SecretValues(config.workspace)
        self._runner = CallRunner(
            journal,
            ToolContext(
                workspace=config.workspace,
                reads=config.reads,
                limits=fit_limits(config.limits, self._window),
                plan=self._show_plan,
                check_edits=config.check_edits,
            ),
            config.mode,
            Asking(journal, ask, config.permissions, config.warned),
            config.ask_user,
            self._guides,
            Explorer(config, journal, ask, run_turn).explore,
            remark=self._remark,
            secrets=self._secrets,
            watch=config.watch,
        )
        self._guard = LoopGuard()
        self._was_cut = False
        self._requests_left = config.max_requests
        self._newest: OpenCall | None = None
        self._writing = CallWriting(journal, tuple(config.tools))
        self._text = Coalescer(self._send_text, interval=_TEXT_SECONDS, limit=_TEXT_CHARS)

    async def run(self) -> _Ending:
        async with anyio.create_task_group() as group:
            group.start_soon(self._text.pump)
            group.start_soon(self._writing.pump)
            ending = await self._guarded()
            await self._text.flush()
            group.cancel_scope.cancel()
        return ending

    async def _guarded(self) -> _Ending:
        try:
            return await self._converse()
        except ContentFilterError:
            return _Ending("refusal", _NOT_RUN)
        except Exception as error:
            if self._journal.failed:
                raise
            _log.exception("the model failed")
            await self._notify("error", _model_trouble(error))
            return _Ending("end_turn", _NOT_RUN)

    async def _converse(self) -> _Ending:
        guide = await self._guides.at_start(await self._secrets.credentials())
        if guide is not None:
            await self._journal.emit(guide)
        while self._requests_left:
            self._requests_left -= 1
            await make_room(self._journal, self._budget, self._summariser)
            answer = await self._request()
            ending = await self._judge(answer)
            if ending is not None:
                return ending
            if answer.runaway is not None:
                continue
            self._guard.begin_response()
            self._newest = answer.calls[-1]
            for call in answer.calls:
                result = await self._runner.run(call)
                if result is None:
                    return _CANCELLED
                if self._guard.ending is not None:
                    await self._notify("error", self._guard.ending)
                    return _Ending("end_turn", _NOT_RUN)
        await self._notify("warning", _MAX_REQUESTS.format(self._config.max_requests))
        return _Ending("max_turn_requests", _NOT_RUN)

    async def _request(self) -> _Answer:
        """Make one model call, showing what comes as it comes.

        The messages are those that the events say, so that a session which is opened again asks
        the model just what this one does.
        """
        message_id = uuid4().hex
        calls: dict[int, OpenCall] = {}
        watch = ResponseWatch()
        runaway: Runaway | None = None
        async with model_request_stream(
            self._config.model,
            self._journal.history.messages(),
            model_settings=self._settings,
            model_request_parameters=self._parameters,
        ) as stream:
            async for event in stream:
                if runaway is not None:
                    continue  # Nothing is wanted any more but what it cost.
                await self._show(event, message_id, calls)
                runaway = watch.feed(event)
                if runaway is not None and not await _cancel(stream):
                    break
        await self._text.flush()
        response = stream.get()
        found = [*calls.values()]
        parts = [part for part in response.parts if isinstance(part, ToolCallPart)]
        for part in parts[len(found) :] if runaway is None else ():
            found.append(await self._start(None, part, message_id))
        return _Answer(message_id, response, found, runaway)

    async def _show(
        self, event: ModelResponseStreamEvent, message_id: str, calls: dict[int, OpenCall]
    ) -> None:
        """Show a piece of a response, and put a call that is whole among the `calls`."""
        match event:
            case PartStartEvent(part=TextPart() as part):
                await self._text.add((TextDelta, message_id), part.content)
            case PartStartEvent(part=ThinkingPart() as part):
                await self._text.add((ThoughtDelta, message_id), part.content)
            case PartDeltaEvent(delta=TextPartDelta() as delta):
                await self._text.add((TextDelta, message_id), delta.content_delta)
            case PartDeltaEvent(delta=ThinkingPartDelta() as delta):
                await self._text.add((ThoughtDelta, message_id), delta.content_delta or "")
            case PartStartEvent(index=index, part=ToolCallPart() as part):
                if index not in calls:
                    await self._text.flush()
                    await self._writing.begin(index, part, message_id)
            case PartDeltaEvent(index=index, delta=ToolCallPartDelta(args_delta=str() as more)):
                await self._writing.more(index, more)
            case PartEndEvent(index=index, part=ToolCallPart() as part):
                # A part that was replaced by its final form ends twice.
                if index not in calls:
                    calls[index] = await self._start(index, part, message_id)
            case _:
                pass

    async def _start(self, index: int | None, part: ToolCallPart, message_id: str) -> OpenCall:
        await self._text.flush()
        call_id = self._writing.end(index) or self._journal.new_call_id(part.tool_call_id)
        part = replace(part, tool_call_id=call_id)
        return await self._runner.start(part, read_call(part, self._config.tools), message_id)

    async def _cut(self, answer: _Answer, runaway: Runaway) -> _Ending | None:
        """Leave what repeats out of the model's context; the turn ends the second time."""
        again, self._was_cut = self._was_cut, True
        self._writing.abandon()
        await self._journal.finish_open_calls(_NOT_WHOLE)
        await self._journal.emit(
            ResponseCut(
                message_id=answer.message_id,
                dropped=runaway.dropped,
                reminder="" if again else reminder(runaway),
            )
        )
        if answer.response.usage.input_tokens:
            await self._report(answer.response.usage)
        if again:
            await self._notify("error", _REPEATED_AGAIN)
            return _Ending("end_turn", _NOT_RUN)
        await self._notify("warning", _REPEATED.format(runaway.sample))
        return None

    async def _report(self, usage: RequestUsage) -> None:
        """Report the cost of a response."""
        now = UsageChanged(
            context_tokens=usage.input_tokens + usage.output_tokens,
            context_size=self._window or 0,
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cache_read_tokens,
            output_tokens=usage.output_tokens,
        )
        warning = fullness_warning(self._journal.history, now, self._budget.room)
        await self._journal.emit(now)
        if warning is not None:
            await self._journal.emit(warning)

    async def _judge(self, answer: _Answer) -> _Ending | None:
        """Report the cost of a response and tell whether the turn ends with it."""
        if answer.runaway is not None:
            return await self._cut(answer, answer.runaway)
        response = answer.response
        await self._report(response.usage)
        match response.finish_reason:
            case "length":
                return _Ending("max_tokens", _CUT_OFF)
            case "content_filter":
                return _Ending("refusal", _NOT_RUN)
            case "error":
                await self._notify("error", "The model broke off its answer; try again.")
                return _Ending("end_turn", _NOT_RUN)
            case _:
                pass
        if answer.calls:
            return None
        if not (response.text or "").strip():
            await self._notify("warning", "The model gave no answer; try to say it differently.")
        return _Ending("end_turn")

    def _remark(self, call: OpenCall, result: str, failed: bool) -> str:
        """Return what the model is to read below the result of its call."""
        remark = self._guard.remark(call.made(result, failed=failed))
        if call is self._newest:
            remark += limit_remark(self._requests_left, self._config.max_requests)
        return remark

    async def _send_text(self, key: _TextKey, text: str) -> None:
        kind, message_id = key
        await self._journal.emit(kind(message_id=message_id, text=text))

    async def _show_plan(self, steps: Sequence[PlanStep]) -> None:
        entries = (
            PlanEntry(content=step.content, priority=step.priority, status=step.status)
            for step in steps
        )
        await self._journal.emit(PlanChanged(entries=tuple(entries)))

    async def _notify(self, severity: Literal["info", "warning", "error"], text: str) -> None:
        await self._text.flush()
        await self._journal.emit(Notice(severity=severity, text=text))


async def _cancel(stream: StreamedResponse) -> bool:
    """End the response; return whether what is on its way still comes."""
    try:
        await stream.cancel()
    except NotImplementedError:
        return False  # Leaving the stream ends it as well.
    return True


def _model_trouble(error: Exception) -> str:
    """Return one plain sentence; the whole error is in the log."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"The model failed: {first[:300] or type(error).__name__}"
