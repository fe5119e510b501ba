"""Runs one tool call: asks where the policy says so, and always comes back with a result."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import anyio
from pydantic_ai.messages import ToolCallPart

from punie.agent.asking import Asking
from punie.agent.coalesce import Coalescer
from punie.agent.events import (
    Mode,
    Notice,
    ToolFinished,
    ToolProgress,
    ToolRunning,
    ToolStarted,
)
from punie.agent.journal import Journal
from punie.agent.open_call import OpenCall
from punie.agent.permissions.consulting import Consulted, Malformed, consult
from punie.agent.permissions.judging import Unruled
from punie.agent.policy import Allow, Ask, Deny, decide
from punie.agent.project_guides import ProjectGuides
from punie.agent.secret_values import SecretValues, masked_presentation
from punie.agent.toolset import BrokenCall, ReadyCall, plain_presentation, read_call
from punie.logs.credential_stream import CredentialStream
from punie.logs.credentials import Credentials
from punie.tools.base import (
    Answered,
    AnyTool,
    CallOutcome,
    NotAnswered,
    Progress,
    Question,
    QuestionCancelled,
    ToolContext,
    ToolError,
    ToolResult,
)
from punie.tools.presentation import TextContent
from punie.workspace.base import WorkspaceError
from punie.workspace.checkpoints.watching import CommandWatch
from punie.workspace.pinned import PinnedWorkspace

AskUser = Callable[[str, Question], Awaitable[Answered | NotAnswered]]
"""Puts the question of a call, named by its id, to the person; see `AskPerson`."""

# A call is announced without its diff rather than late, when an IDE is slow to hand out a file.
_PRESENT_SECONDS = 0.3
_PROGRESS_SECONDS = 0.2
_PROGRESS_CHARS = 64_000
# Tools cut their results themselves and say how to go on; this only guards the context window.
_RESULT_SLACK = 500

Remark = Callable[[OpenCall, str, bool], str]
"""Says what the model reads below the result of a call of its own, which may have failed."""

_log = logging.getLogger(__name__)


def _no_remark(open_call: OpenCall, text: str, failed: bool) -> str:
    return ""


ExploreCall = Callable[[OpenCall, Progress, str], Awaitable[str]]
"""Explores on behalf of a call, which is told what is said meanwhile; see `Explore`."""


@dataclass(frozen=True)
class CallRunner:
    """What running the calls of one turn needs."""

    journal: Journal
    context: ToolContext
    mode: Callable[[], Mode]
    asking: Asking
    ask_user: AskUser | None = None
    guides: ProjectGuides | None = None
    explore: ExploreCall | None = None
    remark: Remark = _no_remark
    secrets: SecretValues | None = None
    watch: CommandWatch | None = None

    async def start(
        self,
        part: ToolCallPart,
        call: ReadyCall | BrokenCall,
        message_id: str,
        parent: str | None = None,
    ) -> OpenCall:
        """Show the call as pending, as well as it can be shown before the calls ahead of it ran."""
        opened = OpenCall(part, call, message_id, plain_presentation(part, call), parent)
        if isinstance(call, ReadyCall):
            try:
                with anyio.move_on_after(_PRESENT_SECONDS):
                    opened.presentation = await call.tool.present(self.context, call.arguments)
            except Exception:
                # The reason is found again, and told, when the call's turn comes.
                _log.debug("presenting %s failed", part.tool_name, exc_info=True)
        await self.journal.emit(
            ToolStarted(
                call_id=part.tool_call_id,
                message_id=message_id,
                tool=part.tool_name,
                arguments=opened.given,
                presentation=opened.presentation,
                parent=parent,
            )
        )
        return opened

    async def run(self, open_call: OpenCall) -> str | None:
        """Take the call to its end and return what the model reads.

        None means that the person cancelled the question: the call is still open and the turn is
        to end.
        """
        outcome = await self._take(open_call)
        return None if outcome is None else outcome.text

    async def _take(self, open_call: OpenCall) -> CallOutcome | None:
        call = open_call.call
        if isinstance(call, BrokenCall):
            return await self._fail(open_call, call.result)
        try:
            consulted = await consult(
                self.asking.permissions, self.context.workspace, call.tool, call.arguments
            )
        except Exception as error:
            # Whatever kept the rules from being applied, the call must not run.
            return await self._fail(open_call, _sentence(call, error))
        decision = decide(
            self.mode(),
            call.tool.effect_with(call.arguments),
            consulted.verdict,
            unconfined=consulted.unconfined,
        )
        match decision:
            case Deny():
                if isinstance(consulted.verdict, Malformed):
                    await self.asking.tell_of_broken_rules(consulted.verdict.sentence)
                return await self._fail(open_call, decision.result, denied=True)
            case Ask():
                await self.asking.warn_of(consulted.missing)
                fault = await self._show_again(open_call, call, consulted)
                if fault is not None:
                    return await self._fail(open_call, fault)
                answer = await self.asking.about(open_call, consulted.offers)
                if answer is None:
                    return None
                if isinstance(answer, str):
                    return await self._fail(open_call, answer, denied=True)
            case Allow():
                pass
            case _:
                assert_never(decision)
        await self.journal.emit(ToolRunning(call_id=open_call.part.tool_call_id))
        try:
            async with self._watched(call.tool):
                result = await self._run_tool(open_call, call, consulted.located)
        except QuestionCancelled:
            return None
        except Exception as error:
            return await self._fail(open_call, _sentence(call, error))
        return await self._finish(open_call, result)

    @asynccontextmanager
    async def _watched(self, tool: AnyTool) -> AsyncIterator[None]:
        """Have it written down what a command, or somebody else's tool, does to files."""
        if self.watch is None or tool.effect not in ("execute", "external"):
            yield
            return
        async with self.watch.around():
            notice = self.watch.take_notice()
            if notice:
                await self.journal.emit(Notice(severity="info", text=notice))
            yield

    async def _show_again(
        self, open_call: OpenCall, call: ReadyCall, consulted: Consulted
    ) -> str | None:
        """Present a call anew, because earlier calls may have changed what it would do.

        Returns what is wrong with it, if it cannot be done.
        """
        verdict = consulted.verdict
        pinned = PinnedWorkspace(self.context.workspace, consulted.located)
        context = replace(self.context, workspace=pinned)
        try:
            open_call.presentation = await call.tool.present(context, call.arguments)
        except Exception as error:
            if not (isinstance(verdict, Unruled) and verdict.secret):
                return _sentence(call, error)
            # The reason may quote the file, so it is told only after a yes.
            open_call.presentation = plain_presentation(open_call.part, call)
        return None

    async def _call_within(
        self, outer: OpenCall, tool: AnyTool, arguments: Mapping[str, Any], *, may_ask: bool
    ) -> CallOutcome:
        """Make a call on behalf of one that is running; see `CallTool`."""
        part = ToolCallPart(tool.name, dict(arguments), self.journal.new_call_id(""))
        parent = outer.part.tool_call_id
        call = await self.start(part, read_call(part, [tool]), outer.message_id, parent)
        call.may_ask = may_ask
        outcome = await self._take(call)
        if outcome is None:
            raise QuestionCancelled
        return outcome

    async def _run_tool(
        self, open_call: OpenCall, call: ReadyCall, located: Mapping[str, Path | None]
    ) -> ToolResult:
        call_id = open_call.part.tool_call_id

        async def send(_key: str, text: str) -> None:
            await self.journal.emit(ToolProgress(call_id=call_id, text=text))

        output = Coalescer(send, interval=_PROGRESS_SECONDS)
        secrets = await self._secrets(call)
        unmasked = CredentialStream(secrets)
        shown = 0

        async def progress(text: str) -> None:
            nonlocal shown
            room = _PROGRESS_CHARS - shown
            text = unmasked.feed(text) if room > 0 else ""
            if text:
                shown += len(text)
                await output.add(
                    call_id, text if len(text) <= room else text[:room] + "\n(more output follows)"
                )

        async def show_terminal(terminal_id: str) -> None:
            await output.flush()
            await self.journal.emit(ToolProgress(call_id=call_id, terminal_id=terminal_id))

        context = replace(
            self.context,
            workspace=PinnedWorkspace(self.context.workspace, located),
            secrets=secrets,
            progress=progress,
            show_terminal=show_terminal,
            call=partial(self._call_within, open_call),
        )
        if self.explore is not None:
            context = replace(context, explore=partial(self.explore, open_call, progress))
        if self.ask_user is not None:
            context = replace(context, ask=partial(self.ask_user, call_id))
        failure: Exception | None = None
        result: ToolResult | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(output.pump)
            try:
                result = await call.tool.run(context, call.arguments)
            except Exception as error:
                # Kept out of the task group, which would wrap it.
                failure = error
            await output.add(call_id, unmasked.flush())
            await output.flush()
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if result is None:
            raise ToolError("the tool returned nothing")
        return result

    async def _secrets(self, call: ReadyCall | BrokenCall) -> Credentials:
        """Return what masks the secrets that are known, those of commands for what runs some."""
        if self.secrets is None:
            return self.context.secrets
        runs = isinstance(call, ReadyCall) and call.tool.effect == "execute"
        return await self.secrets.credentials(commands=runs)

    async def _finish(self, open_call: OpenCall, result: ToolResult) -> CallOutcome:
        if self.secrets is not None and result.presentation.kind == "execute":
            # A command may have written other secrets.
            self.secrets.forget()
        secrets = await self._secrets(open_call.call)
        text = secrets.text(result.text)
        limit = self.context.limits.result_chars
        if len(text) > limit + _RESULT_SLACK:
            text = f"{text[:limit]}\n(cut at {limit} of {len(text)} characters)"
        remark = self._remark(open_call, text, failed=False)
        if self.guides is not None:
            self.guides.touch(result.presentation)
            # What code calls the model does not read; the guides come with the result of the code.
            if open_call.parent is None and (more := await self.guides.of_touched(secrets)):
                text = f"{text}\n\n{more}"
        text += remark
        finished = ToolFinished(
            call_id=open_call.part.tool_call_id,
            status="completed",
            result=text,
            presentation=masked_presentation(result.presentation, secrets),
        )
        await self.journal.emit(finished)
        return CallOutcome(finished.result, data=secrets.value(result.data))

    async def _fail(self, open_call: OpenCall, text: str, *, denied: bool = False) -> CallOutcome:
        secrets = await self._secrets(open_call.call)
        text = secrets.text(text)
        shown = masked_presentation(open_call.presentation, secrets)
        content = (*shown.content, TextContent(text=text.removeprefix("error: ")))
        text += self._remark(open_call, text, failed=True)
        finished = ToolFinished(
            call_id=open_call.part.tool_call_id,
            status="failed",
            result=text,
            presentation=shown.model_copy(update={"content": content}),
        )
        await self.journal.emit(finished)
        return CallOutcome(finished.result, failed=True, denied=denied)

    def _remark(self, open_call: OpenCall, text: str, *, failed: bool) -> str:
        # What calls of code give is for the code.
        return self.remark(open_call, text, failed) if open_call.parent is None else ""


def _sentence(call: ReadyCall, error: Exception) -> str:
    if isinstance(error, (ToolError, WorkspaceError)):
        text = str(error)
        return text if text.startswith("error: ") else f"error: {text}"
    _log.error("tool %s failed", call.tool.name, exc_info=error)
    first = (str(error).splitlines() or [""])[0][:200]
    return f"error: {call.tool.name} failed: {type(error).__name__}{': ' if first else ''}{first}"
