"""/permissions: what is always or never allowed in the project."""

from anyio import to_thread

from punie.acp.commands.context import CommandContext
from punie.agent.permissions.listing import answer_permissions


async def permissions(context: CommandContext) -> str:
    """List the rules, or revoke some of them by their numbers."""
    return await to_thread.run_sync(
        answer_permissions, context.session.permissions, context.arguments
    )
