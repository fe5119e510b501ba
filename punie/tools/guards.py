"""What tools refuse the same way, as errors that a model can act on."""

from collections.abc import Iterator
from contextlib import contextmanager

from punie.tools.base import ToolContext, ToolError
from punie.workspace.base import TextFile, WorkspaceError


@contextmanager
def workspace_errors() -> Iterator[None]:
    """Turn what the workspace refuses into a `ToolError` with the same sentence."""
    try:
        yield
    except WorkspaceError as error:
        raise ToolError(str(error)) from error


def refuse_stale(context: ToolContext, file: TextFile) -> None:
    """Raise `ToolError` if the file is not what the model last saw of it, or is not one text.

    The ledger keeps the old digest: only reading the file again clears the refusal. A file that
    the IDE and the disk have changed in different ways is refused until they agree.
    """
    if file.conflict:
        raise ToolError(file.note)
    if context.reads.is_stale(file.path, file.digest):
        shown = context.workspace.display(file.path)
        raise ToolError(f"{shown} changed since it was read; read it again first")


def refuse_unwritable(text: str) -> None:
    """Raise `ToolError` for a text that no text file can hold, before anyone is asked about it."""
    if "\0" in text:
        raise ToolError("the new text holds a NUL character, which no text file can hold")
