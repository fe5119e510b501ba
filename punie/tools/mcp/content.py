"""What a model reads of the content of an MCP tool's result."""

import json

from mcp import types

from punie.tools.wording import plain_output


def result_text(result: types.CallToolResult) -> str:
    """Return the result as text: images and other data are named, never dumped."""
    pieces = [piece for block in result.content if (piece := _block_text(block))]
    if not pieces and result.structured_content is not None:
        pieces = [json.dumps(result.structured_content, ensure_ascii=False, indent=1)]
    text = plain_output("\n".join(pieces)).strip("\n")
    return text or ("it gave no reason" if result.is_error else "(no output)")


def _block_text(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent():
            return _named("an image", block.mime_type, block.data)
        case types.AudioContent():
            return _named("a sound", block.mime_type, block.data)
        case types.ResourceLink():
            title = block.title or block.name
            return f"[{title}]({block.uri})" + (
                f": {block.description}" if block.description else ""
            )
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return f"{resource.uri}:\n{resource.text}"
        case types.EmbeddedResource(resource=types.BlobResourceContents() as resource):
            return _named(f"data of {resource.uri}", resource.mime_type, resource.blob)
        case _:
            return "(content of an unknown kind)"


def _named(what: str, mime_type: str | None, data: str) -> str:
    kilobytes = max(1, len(data) * 3 // 4 // 1024)
    kind = f", {mime_type}" if mime_type else ""
    return f"({what}{kind}, {kilobytes} kB, which cannot be shown here)"
