"""What a check is about: a file as the workspace knows it, or a folder as it is on disk."""

from dataclasses import dataclass
from pathlib import Path

from punie.tools.base import ToolArguments, ToolContext, ToolError
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation, ToolKind
from punie.workspace.base import IsFolderError, MissingFileError, TextFile
from punie.workspace.roots import root_of

SUFFIXES = (".py", ".pyi")


class PathArguments(ToolArguments):
    """Which file or folder; the whole project if none is named."""

    path: str = "."
    """The file or folder."""


@dataclass(frozen=True)
class Target:
    """A path and the root that it is in; `file` is None for a folder."""

    path: Path
    root: Path
    file: TextFile | None = None


async def find_target(context: ToolContext, path: str) -> Target:
    """Return what is there; raise `ToolError` if nothing is, or no Python."""
    with workspace_errors():
        resolved = context.workspace.resolve(path)
        root = root_of(context.workspace.roots, resolved)
        try:
            file = await context.workspace.read_text(resolved)
        except IsFolderError:
            return Target(resolved, root)
        except MissingFileError:
            if resolved.suffix not in SUFFIXES:
                await context.workspace.info(resolved)  # Says that there is no folder either.
            raise
    if resolved.suffix not in SUFFIXES:
        raise ToolError(f"{context.workspace.display(resolved)} is not a Python file")
    return Target(resolved, root, file)


def described(context: ToolContext, verb: str, path: str, kind: ToolKind) -> Presentation:
    """Describe a call about a path; raise `ToolError` for one outside."""
    with workspace_errors():
        resolved = context.workspace.resolve(path)
    whole = resolved == context.workspace.roots[0]
    return Presentation(
        title=f"{verb} {'the project' if whole else context.workspace.display(resolved)}",
        kind=kind,
        locations=(Location(path=resolved),),
    )
