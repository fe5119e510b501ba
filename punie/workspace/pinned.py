"""A workspace whose paths lead where they led when a call was judged."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from punie.workspace.base import OutsideWorkspaceError, Workspace

if TYPE_CHECKING:
    from punie.workspace.local import LocalWorkspace as _Rest
else:

    class _Rest:
        """What a workspace does besides finding paths, which the inner one does."""

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)


class PinnedWorkspace(_Rest):
    """Another workspace, of which some paths are known: `located`, None for one outside.

    Between the question about a call and its run a command can put a symbolic link in a path's
    place. What was allowed is the file that the path led to.
    """

    def __init__(self, inner: Workspace, located: Mapping[str, Path | None]) -> None:
        self.inner = inner
        self._located = located

    def resolve(self, path: str) -> Path:
        """Make a path absolute; raise `OutsideWorkspaceError` if it leads elsewhere now."""
        return self._as_judged(path, self.inner.resolve(path))

    def resolve_entry(self, path: str) -> Path:
        """Do the same for a path that is to be moved or deleted; a link or a root is refused."""
        return self._as_judged(path, self.inner.resolve_entry(path))

    def _as_judged(self, path: str, found: Path) -> Path:
        if self._located.get(path, found) != found:
            raise OutsideWorkspaceError(
                f"{self.inner.display(found)} is where a symbolic link leads that was made just "
                "now; look at the folder again"
            )
        return found
