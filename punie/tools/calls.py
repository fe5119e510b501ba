"""What the tool modules share: short schemas, workspace errors as tool errors, text for people."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from punie.tools.base import ToolArguments, ToolContext, ToolError
from punie.tools.presentation import TextContent
from punie.workspace.base import TextFile, WorkspaceError


class CompactArguments(ToolArguments):
    """Arguments whose JSON schema is as short as it can be, since models read it every turn."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema without titles, `null` alternatives and references."""
        return _shorten(handler.resolve_ref_schema(handler(core_schema)), handler)


def _shorten(schema: JsonSchemaValue, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    short = {key: value for key, value in schema.items() if key not in ("title", "description")}
    short["properties"] = {
        name: _shorten_property(value, handler)
        for name, value in schema.get("properties", {}).items()
    }
    return short


def _shorten_property(schema: dict[str, Any], handler: GetJsonSchemaHandler) -> dict[str, Any]:
    short = {key: value for key, value in schema.items() if key != "title"}
    alternatives = [item for item in short.pop("anyOf", []) if item.get("type") != "null"]
    if alternatives:
        short = {**alternatives[0], **short}
    if "items" in short:
        short["items"] = handler.resolve_ref_schema(short["items"])
    if short.get("default", ...) is None:
        del short["default"]
    return short


@contextmanager
def workspace_errors() -> Iterator[None]:
    """Turn what the workspace refuses into a `ToolError` with the same sentence."""
    try:
        yield
    except WorkspaceError as error:
        raise ToolError(str(error)) from error


def refuse_stale(context: ToolContext, file: TextFile) -> None:
    """Raise `ToolError` if the file is not what the model last saw of it.

    The ledger keeps the old digest: only reading the file again clears the refusal.
    """
    if context.reads.is_stale(file.path, file.digest):
        shown = context.workspace.display(file.path)
        raise ToolError(f"{shown} changed since it was read; read it again first")


def split_lines(text: str) -> list[str]:
    """Return the lines of a text without their ends; a final line end starts no new line."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def count(number: int, noun: str) -> str:
    """Return `1 line`, `2 lines` and so on."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def fenced(text: str, language: str = "") -> TextContent:
    """Return the text as a Markdown code block that nothing in the text can close."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return TextContent(text=f"{fence}{language}\n{text}\n{fence}")


def one_line(text: str, limit: int) -> str:
    """Return the text's first line, cut to `limit` characters, with `…` where something is cut."""
    stripped = text.strip()
    first = stripped.split("\n", 1)[0].rstrip()
    if len(first) > limit:
        return first[: limit - 1] + "…"
    return first if first == stripped else first + " …"


def changed_line(old: str, new: str) -> int:
    """Return the 1-based number of the first line in which two texts differ."""
    old_lines, new_lines = old.split("\n"), new.split("\n")
    for number, (before, after) in enumerate(zip(old_lines, new_lines, strict=False), start=1):
        if before != after:
            return number
    return min(len(old_lines), len(new_lines))
