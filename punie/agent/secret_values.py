"""The secret values that a turn knows: of the environment and of the project's `.env` files."""

import contextlib
import os

from punie.logs.credentials import Credentials, assignments, secret_values
from punie.tools.presentation import Presentation, TextContent
from punie.workspace.base import Workspace, WorkspaceError
from punie.workspace.environment import command_environment
from punie.workspace.secret_files import is_secret_name

_MOST_FILES = 20
_FILE_BYTES = 64_000


class SecretValues:
    """Finds the values that are masked in what the model reads, and looks again when asked to."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: Credentials | None = None
        self._of_commands = False

    async def credentials(self, *, commands: bool = False) -> Credentials:
        """Return what masks the values known now.

        With `commands` those of the environment that commands run in too, which a login shell may
        take a while to tell.
        """
        if self._known is None or (commands and not self._of_commands):
            self._of_commands = self._of_commands or commands
            self._known = Credentials(await self._look())
        return self._known

    def forget(self) -> None:
        """Look again next time: files may have changed."""
        self._known = None

    async def _look(self) -> set[str]:
        values = set(secret_values(os.environ))
        if self._of_commands:
            values |= secret_values(await command_environment(self._workspace.roots[0]))
        for root in self._workspace.roots:
            with contextlib.suppress(WorkspaceError):
                names = [entry.name for entry in await self._workspace.list_dir(root)]
                for name in [name for name in names if _is_env_file(name)][:_MOST_FILES]:
                    with contextlib.suppress(WorkspaceError):
                        # As it is on disk: an IDE need not be asked about it.
                        found = await self._workspace.read_lines(
                            self._workspace.resolve(str(root / name)), 1, None, limit=_FILE_BYTES
                        )
                        values |= secret_values(dict(assignments("\n".join(found.lines))))
        return values


def masked_presentation(shown: Presentation, secrets: Credentials) -> Presentation:
    """Return what a person sees of a call with every text masked.

    Diffs stay as they are: they are the person's own files, and what is asked about must be seen.
    """
    content = tuple(
        each.model_copy(update={"text": secrets.text(each.text)})
        if isinstance(each, TextContent)
        else each
        for each in shown.content
    )
    return shown.model_copy(update={"title": secrets.text(shown.title), "content": content})


def _is_env_file(name: str) -> bool:
    return is_secret_name(name) and ".env" in name.casefold()
