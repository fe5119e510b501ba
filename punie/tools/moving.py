"""What move and delete have in common: what is there, and how it is shown."""

from dataclasses import dataclass
from pathlib import Path

from punie.tools.base import ToolContext
from punie.tools.guards import refuse_stale
from punie.tools.presentation import TextContent
from punie.tools.wording import count
from punie.workspace.base import (
    NotTextError,
    PathInfo,
    TextFile,
    TooLargeError,
)


@dataclass(frozen=True)
class Entry:
    """A file or folder; `file` is its text, None where it has none that can be shown."""

    path: Path
    info: PathInfo
    file: TextFile | None = None

    @property
    def described(self) -> TextContent:
        """What it is, where no diff can show it."""
        match self.info.kind:
            case "folder":
                return TextContent(text=f"A folder with {_entries(self.info.size)}.")
            case "file":
                return TextContent(
                    text=f"A file of {count(self.info.size, 'byte')} that is not shown as text."
                )
            case "other":
                return TextContent(text="Neither a file nor a folder.")


def _entries(number: int) -> str:
    return count(number, "entry", "entries")


async def look_at(context: ToolContext, path: Path) -> Entry:
    """Look at a path; raise `WorkspaceError` if nothing is there, `ToolError` if it is stale.

    A file that is only in the IDE is missing: nothing on disk can be moved.
    """
    info = await context.workspace.info(path)
    if info.kind != "file":
        return Entry(path, info)
    try:
        file = await context.workspace.read_text(path)
    except (NotTextError, TooLargeError):
        return Entry(path, info)
    refuse_stale(context, file)
    return Entry(path, info, file)
