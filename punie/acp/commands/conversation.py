"""/compact, /plan, /export and /logs: what was said so far."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from punie.acp.commands.context import CommandContext, number_in
from punie.acp.heavy import import_turn
from punie.agent.events import PlanChanged, PlanEntry
from punie.agent.secret_values import SecretValues
from punie.agent.title import title_from_events
from punie.agent.transcript import conversation_markdown
from punie.logs.lines import render
from punie.logs.reader import LogFilter, LogReader
from punie.logs.rotation import log_file
from punie.tools.wording import count, fenced, in_backticks
from punie.workspace.base import MissingFileError, Workspace, WorkspaceError

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

_LOG_LINES = 20
_MOST_LOG_LINES = 200
_MOST_NAMES = 1_000


async def compact(context: CommandContext) -> str:
    """Leave older results and turns out of the model's context, with a summary of the turns."""
    await to_thread.run_sync(import_turn, abandon_on_cancel=True)
    from punie.agent.fitting import compact_on_demand
    from punie.agent.journal import PastTurns

    session = context.session
    past = session.past = session.past or PastTurns()
    past.catch_up(tuple(session.events))
    sum_up = partial(_summary, context)
    done = await compact_on_demand(past.history, sum_up, all_turns=bool(context.arguments))
    if done is None:
        return "There is nothing to leave out: the model's context holds only the latest turns."
    with context.cancel.hold():
        for event in done.events:
            await context.emit(event)
    plan, gone = done.plan, []
    if plan.repeated:
        again = "tool result that came again later", "tool results that came again later"
        gone.append(count(plan.repeated, *again))
    if plan.old:
        gone.append(count(plan.old, "older tool result"))
    if plan.turns:
        gone.append(f"{count(plan.turns, 'older turn')} ({count(plan.dropped, 'message')})")
    size = kept = ""
    if plan.summed_up:
        kept = " A summary stays." if done.summary else " The model made no summary of them."
    if done.window:
        size = (
            f" The context goes from about {done.before:,} to about {done.after:,} "
            f"of {done.window:,} tokens."
        )
    return (
        f"Left out of the model's context: {' and '.join(gone)}.{kept}{size} "
        "The chat and your files stay as they are."
    )


async def _summary(context: CommandContext, messages: "list[ModelMessage]", first: int) -> str:
    from punie.agent.summary import Summariser

    config = await context.config()
    if config is None:
        return ""
    return await Summariser.of_turn(config, context.arguments).stand_in(messages, first)


async def plan(context: CommandContext) -> str:
    """Show the plan, or clear it."""
    entries: tuple[PlanEntry, ...] = ()
    for event in context.session.events:
        if isinstance(event, PlanChanged):
            entries = event.entries
    if context.arguments.casefold() == "clear":
        if not entries:
            return "There is no plan to clear."
        await context.emit(PlanChanged(entries=()))
        return "The plan is cleared."
    about_mode = "To let Punie only look and plan, switch to the plan mode with `/mode plan`."
    if context.arguments:
        return f"`/plan` shows the plan and `/plan clear` clears it. {about_mode}"
    if not entries:
        return f"There is no plan now; the model makes one for work of several steps. {about_mode}"
    return "\n".join([*map(_entry, entries), "", f"`/plan clear` clears it. {about_mode}"])


def _entry(entry: PlanEntry) -> str:
    mark = "x" if entry.status == "completed" else " "
    now = " (now)" if entry.status == "in_progress" else ""
    priority = "" if entry.priority == "medium" else f" ({entry.priority} priority)"
    return f"- [{mark}] {entry.content}{now}{priority}"


async def export(context: CommandContext) -> str:
    """Write the conversation into a new Markdown file of the workspace."""
    session = context.session
    title = session.title or title_from_events(session.events) or "Conversation with Punie"
    secrets = await SecretValues(session.workspace).credentials(commands=True)
    text = secrets.text(conversation_markdown(session.events, title))
    try:
        path = await _new_file(session.workspace, context.arguments)
        if path is None:
            return f"There is a file {in_backticks(context.arguments)} already; name another one."
        with context.cancel.hold():
            await session.workspace.write_text(path, text)
    except WorkspaceError as error:
        return f"The conversation was not written: {error}."
    return f"The conversation is in {in_backticks(session.workspace.display(path))}."


async def _new_file(workspace: Workspace, name: str) -> Path | None:
    """Return where to write: the file named if it is not there, else one named after the day."""
    if name:
        path = workspace.resolve(name)
        return path if await _is_free(workspace, path) else None
    day = datetime.now().astimezone().date().isoformat()
    for number in range(1, _MOST_NAMES):
        addition = f"-{number}" if number > 1 else ""
        path = workspace.resolve(f"punie-session-{day}{addition}.md")
        if await _is_free(workspace, path):
            return path
    raise WorkspaceError(f"there are too many files like {workspace.display(path)}")


async def _is_free(workspace: Workspace, path: Path) -> bool:
    try:
        await workspace.read_text(path)
    except MissingFileError:
        return True
    except WorkspaceError:
        return False  # Something is there, though no text.
    return False


async def logs(context: CommandContext) -> str:
    """Show the last lines of this session's log, and where the log is."""
    most = number_in(context.arguments, _LOG_LINES, _MOST_LOG_LINES)
    if most is None:
        return f"`/logs` takes a number of lines from 1 to {_MOST_LOG_LINES}."
    path = log_file(context.session.settings.state_dir)
    session_id = context.session.id

    def read() -> list[str]:
        records = LogReader(path).newest_first(LogFilter(session=session_id), most)
        return [render(record, colour=False) for record in records]

    try:
        lines = await to_thread.run_sync(read)
    except OSError as error:
        return f"The log {path} cannot be read: {(error.strerror or str(error)).lower()}."
    place = f"The log is {in_backticks(str(path))}"
    if not lines:
        return f"Nothing has been logged for this session yet. {place}."
    more = f"{place}; `punie logs --session {session_id}` shows more."
    return "\n\n".join([fenced("\n".join(reversed(lines))).text, more])
