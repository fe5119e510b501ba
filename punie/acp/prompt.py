"""The content blocks of a prompt become one user message for the model."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from acp.schema import (
    AudioContentBlock,
    EmbeddedResourceContentBlock,
    ImageContentBlock,
    ResourceContentBlock,
    TextContentBlock,
    TextResourceContents,
)

from punie.acp.errors import invalid
from punie.agent.events import PromptBlock, PromptLink, PromptResource, PromptText, UserMessage

ContentBlock = (
    TextContentBlock
    | ImageContentBlock
    | AudioContentBlock
    | ResourceContentBlock
    | EmbeddedResourceContentBlock
)

_LINES = re.compile(r"L(\d{1,9})(?:[-:]L?(\d{1,9}))?")
_BACKTICKS = re.compile(r"`{3,}")


def user_message(blocks: Sequence[ContentBlock], cwd: Path) -> UserMessage:
    """Return the message; raise the invalid-params error for what the model cannot read."""
    events = tuple(_event(block) for block in blocks)
    text = _text(events, cwd)
    if not text:
        raise invalid("The prompt is empty.")
    return UserMessage(message_id=str(uuid4()), blocks=events, text=text)


def _event(block: ContentBlock) -> PromptBlock:
    if isinstance(block, TextContentBlock):
        return PromptText(text=block.text)
    if isinstance(block, ResourceContentBlock):
        return PromptLink(uri=block.uri, name=block.name)
    if isinstance(block, EmbeddedResourceContentBlock):
        resource = block.resource
        if isinstance(resource, TextResourceContents):
            return PromptResource(
                uri=resource.uri, text=resource.text, mime_type=resource.mime_type
            )
        raise invalid(
            f"Punie cannot read the binary attachment {resource.uri[:200]}; attach text instead."
        )
    if isinstance(block, ImageContentBlock | AudioContentBlock):
        raise invalid("Punie cannot read images or audio; describe them in text.")
    assert_never(block)


def _text(blocks: Sequence[PromptBlock], cwd: Path) -> str:
    text = ""
    after_mention = False
    for block in blocks:
        if isinstance(block, PromptText):
            # A mention must not grow together with the words after it.
            grows = after_mention and block.text[:1].isalnum()
            text += " " + block.text if grows else block.text
        elif isinstance(block, PromptLink):
            gap = "" if not text or text[-1].isspace() or text[-1] in "([{\"'`" else " "
            text += f"{gap}@{place(block.uri, cwd)}"
        elif isinstance(block, PromptResource):
            before = text.rstrip()
            text = (before + "\n\n" if before else "") + _attachment(block, cwd) + "\n\n"
        else:
            assert_never(block)
        after_mention = isinstance(block, PromptLink)
    return text.strip()


def _attachment(block: PromptResource, cwd: Path) -> str:
    longest = max((len(run) for run in _BACKTICKS.findall(block.text)), default=2)
    fence = "`" * (longest + 1)
    body = block.text if block.text.endswith("\n") else block.text + "\n"
    return f"Attached: {place(block.uri, cwd)}{_selection(block.uri)}\n{fence}\n{body}{fence}"


def _selection(uri: str) -> str:
    match = _LINES.fullmatch(_split(uri)[1])
    if match is None:
        return ""
    first, last = match.groups()
    return f" lines {first}-{last or first}"


def place(uri: str, cwd: Path) -> str:
    """Return a file's path relative to `cwd` if it lies inside, else absolute; else the URI."""
    address, _ = _split(uri)
    if "://" not in address and not address.startswith("file:"):
        path = Path(address)
        if not path.is_absolute():
            return uri
    else:
        parts = urlsplit(address)
        if parts.scheme != "file":
            return uri
        path = Path(unquote(parts.path))
    for root in (cwd, cwd.resolve()):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return str(path)


def _split(uri: str) -> tuple[str, str]:
    address, _, fragment = uri.partition("#")
    return address, fragment
