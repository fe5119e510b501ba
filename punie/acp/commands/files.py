"""/init: writes AGENTS.md."""

from uuid import uuid4

from anyio import to_thread

from punie.acp.commands.context import CommandContext
from punie.acp.heavy import import_turn
from punie.agent.guide import GUIDE_FILE, guide_text, missing_lines
from punie.agent.policy import DENIED
from punie.agent.project_facts import find_facts
from punie.tools.base import ToolContext
from punie.tools.wording import fenced
from punie.tools.write_file import WRITE_FILE
from punie.workspace.base import MissingFileError, Workspace, WorkspaceError


async def init(context: CommandContext) -> str:
    """Write AGENTS.md, as an edit that the mode may have to be asked for."""
    workspace = context.session.workspace
    try:
        guide = guide_text(await find_facts(workspace))
        existing = await _existing_guide(workspace)
    except WorkspaceError as error:
        return f"{GUIDE_FILE} was not written: {error}."
    if existing is None:
        return await _write_guide(context, guide)
    missing = missing_lines(guide, existing)
    if not missing:
        return f"There is an {GUIDE_FILE} already, and it says all that the project's files say."
    lacks = fenced("\n".join(missing), "markdown").text
    return f"There is an {GUIDE_FILE} already, which stays as it is. It lacks:\n\n{lacks}"


async def _existing_guide(workspace: Workspace) -> str | None:
    try:
        return (await workspace.read_text(workspace.resolve(GUIDE_FILE))).text
    except MissingFileError:
        return None


async def _write_guide(context: CommandContext, guide: str) -> str:
    session = context.session
    if session.mode == "plan":
        would = fenced(guide, "markdown").text
        return (
            f"The plan mode changes no files, so {GUIDE_FILE} was not written; switch with "
            f"`/mode ask` and say `/init` again. It would be:\n\n{would}"
        )
    await to_thread.run_sync(import_turn, abandon_on_cancel=True)
    from punie.agent.direct_call import run_direct_call

    session.workspace.recorder.begin_turn(uuid4().hex, "/init", command=True)
    result = await run_direct_call(
        WRITE_FILE,
        {"path": GUIDE_FILE, "content": guide},
        ToolContext(workspace=session.workspace, reads=session.reads),
        mode=lambda: session.mode,
        emit=context.emit,
        ask=context.ask,
        permissions=session.permissions,
        cancel=context.cancel,
    )
    if result is None:
        context.cancel.cancel()
        return f"{GUIDE_FILE} was not written."
    if result == DENIED:
        return f"{GUIDE_FILE} was not written, because you did not allow it."
    if result.startswith("error: "):
        # What follows a semicolon is for a model.
        return f"{GUIDE_FILE} was not written: {result.removeprefix('error: ').partition('; ')[0]}."
    return f"{GUIDE_FILE} is written; add to it what the project's files do not tell."
