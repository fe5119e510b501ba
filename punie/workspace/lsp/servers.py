"""The language servers of a workspace: one for each root, started when first asked."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from punie.workspace.base import ProgramSource
from punie.workspace.lsp.model import LanguageServerError
from punie.workspace.processes import ProcessGroup
from punie.workspace.roots import root_of

if TYPE_CHECKING:
    from punie.workspace.lsp.client import Doubtful, LanguageServer
    from punie.workspace.lsp.documents import ReadText

PROGRAM = "ty"
FindProgram = Callable[[str, ProgramSource], Awaitable[Path | None]]
"""Finds a program, as `Workspace.find_program` does."""


class LanguageServers:
    """Gives the language server of the root that a path is in."""

    def __init__(
        self,
        roots: Sequence[Path],
        find: FindProgram,
        read: "ReadText",
        doubtful: "Doubtful | None" = None,
    ) -> None:
        self._roots = tuple(roots)
        self._find = find
        # Apart from the groups of commands: that a server runs does not mean that one of them does.
        self._groups: set[ProcessGroup] = set()
        self._read = read
        self._doubtful = doubtful
        self._servers: dict[Path, LanguageServer] = {}

    async def of(self, path: Path) -> "LanguageServer":
        """Return the server for a path; raise `LanguageServerError` if there is no program."""
        root = root_of(self._roots, path)
        if root not in self._servers:
            program = await self._find(PROGRAM, "trusted")
            if program is None:
                raise LanguageServerError(
                    f"{PROGRAM}, which Python questions need, is not installed beside Punie"
                )
            made = await anyio.to_thread.run_sync(self._make, root, program)
            self._servers.setdefault(root, made)
        return self._servers[root]

    def _make(self, root: Path, program: Path) -> "LanguageServer":
        # Takes a moment to import, which only those pay who ask.
        from punie.workspace.lsp.client import LanguageServer

        return LanguageServer(
            (str(program), "server"), root, self._groups, self._read, doubtful=self._doubtful
        )

    async def aclose(self) -> None:
        """End the servers."""
        async with anyio.create_task_group() as tasks:
            for server in self._servers.values():
                tasks.start_soon(server.aclose)
