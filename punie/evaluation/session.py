"""A model at work on one item: the real agent with the real tools, in a project of its own."""

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, assert_never

import anyio
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    Compacted,
    Notice,
    PermissionAsked,
    PromptText,
    ResponseCut,
    StopReason,
    Thinking,
    ToolFinished,
    ToolRunning,
    ToolStarted,
    TurnEvent,
    UserMessage,
    decode_event,
    encode_event,
    is_stored,
)
from punie.agent.fitting import compact_on_demand
from punie.agent.journal import PastTurns
from punie.agent.summary import Summariser
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig, turn_tools
from punie.evaluation.confinement import CONFINED
from punie.evaluation.elsewhere import with_what_is_said_anywhere
from punie.evaluation.kept_back import places_of_answers
from punie.evaluation.suite import Action, Compact, Item, Reload, Say
from punie.evaluation.suites.counted_tests import CountedTests
from punie.evaluation.watched import WatchedModel
from punie.evaluation.work import Executed, Work
from punie.models.streaming import StreamingModel
from punie.sessions.store import SessionStore
from punie.settings import Settings
from punie.tools.base import ReadLedger, ToolLimits
from punie.tools.catalog import ALL_TOOLS
from punie.training.data.example import Function, Message
from punie.training.data.served import messages_after
from punie.workspace.base import CommandRequest, WorkspaceError
from punie.workspace.local import LocalWorkspace

_EFFECTS = {tool.name: tool.effect for tool in ALL_TOOLS}
_GUIDE_TOKENS = int(Settings.model_fields["guide_tokens"].default)
_IGNORED = frozenset(
    {".git", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".idea"}
)
_TEST_SECONDS = 60.0
STAND_IN = "/project"
"""What stands for the path of the project in what is kept of the work."""
_SESSION = "session"


@dataclass(frozen=True)
class Conditions:
    """How a model works, besides what an item says of that.

    Attributes:
        temperature: 0 takes the likeliest token always; None is as the model's files say.
        seed: of the sampling.
        thinking: whether and how hard it thinks; None leaves that to the model.
        max_requests: model calls of a turn, in place of what the item may take.
        max_tokens: of one answer, likewise.
        seconds: of the item in all, if that is less than it may take.
    """

    temperature: float | None = 0.0
    seed: int | None = None
    thinking: Thinking | None = None
    max_requests: int | None = None
    max_tokens: int | None = None
    seconds: float | None = None


_USUAL = Conditions()


async def work_on(item: Item, model: Model, root: Path, conditions: Conditions = _USUAL) -> Work:
    """Let a model do an item in the project at `root`, and return what it did.

    Commands run confined, and nothing runs that would leave the sandbox; where no sandbox works
    only commands run that the item has `unconfined`. An item that takes longer than it may ends
    with that as its trouble.
    """
    session = _Session(item, model, root, conditions)
    seconds = min(item.needs.seconds, conditions.seconds or item.needs.seconds)
    try:
        with anyio.move_on_after(seconds) as scope:
            for action in item.actions:
                await session.do(action)
            while not session.trouble:
                more = await item.more(session.work(), root)
                if more is None:
                    break
                await session.do(more)
        if scope.cancelled_caught:
            session.timed_out = f"It was not done after {seconds:g} seconds."
    finally:
        with anyio.CancelScope(shield=True):
            await session.workspace.aclose()
            await item.close()
    work = session.work()
    executed = await with_what_is_said_anywhere(work.executed, root, item.hidden)
    return replace(work, executed=executed)


class _Session:
    """The conversation of an item, as a front end would hold it."""

    def __init__(self, item: Item, model: Model, root: Path, conditions: Conditions) -> None:
        self._item = item
        self._model = model
        self._watched = WatchedModel(model, conditions.seed)
        self._root = root
        self._conditions = conditions
        self._events: list[TurnEvent] = []
        self._stop: StopReason = "cancelled"
        self._seconds = 0.0
        self._ids = count()
        self.timed_out = ""
        self._files_before: Mapping[str, bytes] | None = None
        self._tools = item.tools
        self._open()

    def _open(self) -> None:
        item, conditions = self._item, self._conditions
        self.workspace = LocalWorkspace(
            [self._root], replace(CONFINED, hide=(*item.hidden, *places_of_answers()))
        )
        self._past = PastTurns()
        self._config = TurnConfig(
            model=self._watched,
            workspace=self.workspace,
            reads=ReadLedger(),
            tools=turn_tools((), attended=True, code_mode=item.code)
            if self._tools is None
            else self._tools,
            mode=lambda: item.mode,
            limits=item.limits or ToolLimits(),
            max_requests=conditions.max_requests or item.needs.requests,
            max_tokens=conditions.max_tokens or item.needs.tokens,
            temperature=conditions.temperature,
            thinking=conditions.thinking,
            guide_tokens=_GUIDE_TOKENS,
            check_edits="whole",
        )

    @property
    def trouble(self) -> str:
        """What kept the model from working, "" for nothing."""
        errors = (e.text for e in self._events if isinstance(e, Notice) and e.severity == "error")
        return self.timed_out or next(errors, "")

    async def do(self, action: Action) -> None:
        """Do one of the item's actions."""
        begin = time.perf_counter()
        try:
            match action:
                case Say(text=text, tools=tools):
                    if tools is not None:
                        self._tools = tools
                        self._config = replace(self._config, tools=tools)
                    await self._say(text)
                case Compact():
                    await self._compact()
                case Reload():
                    await self._reload()
                case _:
                    assert_never(action)
        finally:
            self._seconds += time.perf_counter() - begin

    async def _emit(self, event: TurnEvent) -> None:
        self._events.append(event)

    async def _say(self, text: str) -> None:
        self._files_before = project_files(self._root)
        self._past.catch_up(tuple(self._events))
        blocks = (PromptText(text=text),)
        message = UserMessage(message_id=f"m{next(self._ids)}", blocks=blocks, text=text)
        self._stop = "cancelled"
        ended = await run_turn(
            self._config,
            message,
            self._past,
            emit=self._emit,
            ask=self._ask,
            cancel=CancelSignal(),
        )
        self._stop = ended.stop_reason

    async def _ask(self, question: PermissionAsked) -> str | None:
        asked = next(
            event
            for event in reversed(self._events)
            if isinstance(event, ToolStarted) and event.call_id == question.call_id
        )
        call = Function(name=asked.tool, arguments=asked.arguments)
        outside = await self._leaves_sandbox(call)
        allowed = self._item.unconfined(call) if outside else self._item.allows(call)
        wanted = "allow_once" if allowed else "reject_once"
        return next(choice.id for choice in question.choices if choice.kind == wanted)

    async def _leaves_sandbox(self, call: Function) -> bool:
        """Tell whether a call would run something with all that the user may do."""
        effect = _EFFECTS.get(call.name, "external")
        if effect == "edit":
            # What runs such a file later, as git does its hooks, does so outside.
            return ".git/" in str(call.arguments)
        if effect == "read":
            return False
        missing = bool((await self.workspace.confinement()).missing)
        return missing or bool(call.arguments.get("unsandboxed"))

    async def _compact(self) -> None:
        """Leave out of the context what `/compact` would."""
        self._past.catch_up(tuple(self._events))
        done = await compact_on_demand(self._past.history, self._sum_up)
        for event in () if done is None else done.events:
            await self._emit(event)

    async def _sum_up(self, messages: list[ModelMessage], first: int) -> str:
        return await Summariser.of_turn(self._config).stand_in(messages, first)

    async def _reload(self) -> None:
        """Go on with what a session store has of the session."""
        await self.workspace.aclose()
        with tempfile.TemporaryDirectory(prefix="punie-") as folder:
            file = Path(folder) / "sessions.db"
            store = SessionStore(file)
            await store.create(_SESSION, str(self._root), {})
            for event in filter(is_stored, self._events):
                await store.append(_SESSION, event.kind, encode_event(event))
            await store.close()
            again = SessionStore(file)
            self._events = [decode_event(line) for line in await again.events(_SESSION)]
            await again.close()
        self._open()

    def work(self) -> Work:
        """Return what was done until now."""
        watched, events = self._watched, self._events
        peak = self._model.peak_memory if isinstance(self._model, StreamingModel) else None
        return Work(
            messages=trajectory(events, self._root),
            files=project_files(self._root),
            stop=self._stop,
            executed=tuple(executed_calls(events, self._root)),
            malformed=watched.malformed,
            not_run=_calls_that_did_not_run(events),
            cut=any(isinstance(event, ResponseCut) for event in events),
            requests=len(watched.responses),
            tokens=watched.tokens,
            read_tokens=watched.read_tokens,
            seconds=self._seconds,
            first_token_seconds=tuple(watched.first_token_seconds),
            peak_memory=peak,
            trouble=self.trouble,
            model_failed=watched.failed,
            files_before=self._files_before,
        )


def trajectory(events: Sequence[TurnEvent], root: Path) -> tuple[Message, ...]:
    """Return a conversation as messages; the project's own path is the same in all of them.

    What a compaction left out of the model's context is in it too.
    """
    found = messages_after(event for event in events if not isinstance(event, Compacted))
    return tuple(
        message.model_copy(
            update={
                "content": _anywhere(message.content, root),
                "tool_calls": tuple(
                    call.model_copy(update={"function": _call_anywhere(call.function, root)})
                    for call in message.tool_calls
                ),
            }
        )
        for message in found
    )


def executed_calls(events: Sequence[TurnEvent], root: Path) -> Iterable[Executed]:
    """Yield every call with what came of it, those that code made among them, as they began."""
    ran = {event.call_id for event in events if isinstance(event, ToolRunning)}
    ended = {event.call_id: event for event in events if isinstance(event, ToolFinished)}
    for event in events:
        if not isinstance(event, ToolStarted):
            continue
        end = ended.get(event.call_id)
        yield Executed(
            call=_call_anywhere(Function(name=event.tool, arguments=event.arguments), root),
            result="" if end is None else _anywhere(end.result, root),
            ran=event.call_id in ran,
            failed=event.call_id in ran and (end is None or end.status == "failed"),
            inner=event.parent is not None,
        )


def _call_anywhere(call: Function, root: Path) -> Function:
    return Function(name=call.name, arguments=_value_anywhere(call.arguments, root))


def _value_anywhere(value: Any, root: Path) -> Any:
    match value:
        case str():
            return _anywhere(value, root)
        case dict():
            return {key: _value_anywhere(each, root) for key, each in value.items()}
        case list():
            return [_value_anywhere(each, root) for each in value]
        case _:
            return value


def _anywhere(text: str, root: Path) -> str:
    return text.replace(str(root), STAND_IN)


def project_files(root: Path) -> dict[str, bytes]:
    """Return a project's files by path, without what programs leave behind."""
    return {
        path.relative_to(root).as_posix(): _content(path)
        for path in sorted(root.rglob("*"))
        if (path.is_symlink() or path.is_file())
        and not _IGNORED & set(path.relative_to(root).parts)
    }


def _content(path: Path) -> bytes:
    """Return what is in a file, or where a link leads, which may be anywhere."""
    try:
        return f"-> {path.readlink()}".encode() if path.is_symlink() else path.read_bytes()
    except OSError:
        return b""  # The model may have taken the permission to read it away.


async def passes_tests(root: Path) -> bool:
    """Tell whether a project's tests pass, run confined; code that ends them has not passed."""
    workspace = LocalWorkspace([root], CONFINED)
    counted = CountedTests("python3", ("-q",))
    try:
        ran = await workspace.run(CommandRequest(counted.command, root, _TEST_SECONDS))
        return bool(counted.passed(ran.output))
    except WorkspaceError:
        return False
    finally:
        await workspace.aclose()


def _calls_that_did_not_run(events: Sequence[TurnEvent]) -> int:
    ran = {event.call_id for event in events if isinstance(event, ToolRunning)}
    return sum(isinstance(event, ToolStarted) and event.call_id not in ran for event in events)
