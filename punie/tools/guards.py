"""What tools refuse the same way, as errors that a model can act on."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from punie.logs.credentials import MASK
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


def refuse_masked(
    context: ToolContext, shown: str, text: str, sought: Iterable[str], new_text: str
) -> None:
    """Raise `ToolError` if an edit takes the mask of a secret in `text` for what stands there.

    `sought` are the texts that the edit looks for, `new_text` is what it would make of the file.
    """
    if context.secrets.text(text) == text:
        return
    if any(MASK in each and each not in text for each in sought):
        raise ToolError(
            f"{MASK} stands for a secret in {shown} that is not shown, so it is not found there; "
            "leave it out of what is looked for"
        )
    if new_text.count(MASK) > text.count(MASK):
        raise ToolError(
            f"{MASK} stands for a secret in {shown} that is not shown, and would take its place; "
            "change only the text around it with edit_file"
        )


def refuse_unwritable(text: str) -> None:
    """Raise `ToolError` for a text that no text file can hold, before anyone is asked about it."""
    if "\0" in text:
        raise ToolError("the new text holds a NUL character, which no text file can hold")
