from pathlib import Path
from typing import Any

import pytest
from acp import RequestError
from acp.schema import PromptRequest

from punie.acp.prompt import place, user_message

CWD = Path("/project")


def text_of(*blocks: dict[str, Any]) -> str:
    request = PromptRequest.model_validate({"sessionId": "s", "prompt": list(blocks)})
    return user_message(request.prompt, CWD).text


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def link(uri: str) -> dict[str, Any]:
    return {"type": "resource_link", "uri": uri, "name": "name"}


def resource(uri: str, content: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "text": content}}


def test_a_mention_stands_where_it_was_made() -> None:
    assert (
        text_of(text("Compare "), link("file:///project/a%20b.py"), text(" with the rest"))
        == "Compare @a b.py with the rest"
    )
    assert text_of(text("Explain"), link("file:///project/a.py"), text("now")) == (
        "Explain @a.py now"
    )
    assert text_of(text("See ("), link("file:///project/a.py"), text(").")) == "See (@a.py)."


def test_an_attachment_is_named_and_fenced() -> None:
    blocks = (text("Explain"), resource("file:///project/src/a.py#L3-7", "x = 1"))
    assert text_of(*blocks, text("please")) == (
        "Explain\n\nAttached: src/a.py lines 3-7\n```\nx = 1\n```\n\nplease"
    )


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ("", ""),
        ("#L5", " lines 5-5"),
        ("#L3-L7", " lines 3-7"),
        ("#L3:7", " lines 3-7"),
        ("#section", ""),
        ("#L", ""),
    ],
)
def test_the_selection_comes_from_the_address(fragment: str, words: str) -> None:
    first = text_of(resource("file:///project/a.py" + fragment, "x")).splitlines()[0]
    assert first == "Attached: a.py" + words


def test_a_fence_is_longer_than_those_in_the_text() -> None:
    assert text_of(resource("file:///project/a.md", "```py\n````\n")).endswith("````\n`````")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///project/a.py", "a.py"),
        ("file:///project", "."),
        ("file:///projects/a.py", "/projects/a.py"),
        ("file:///other/a.py", "/other/a.py"),
        ("https://example.org/a.py", "https://example.org/a.py"),
        ("/project/a.py", "a.py"),
        ("relative.py", "relative.py"),
        ("", ""),
    ],
)
def test_places(uri: str, expected: str) -> None:
    assert place(uri, CWD) == expected


def test_blocks_are_kept_as_they_came() -> None:
    request = PromptRequest.model_validate(
        {"sessionId": "s", "prompt": [text("a"), link("u"), resource("v", "b")]}
    )
    message = user_message(request.prompt, CWD)
    assert [block.type for block in message.blocks] == ["text", "link", "resource"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "data": "", "mimeType": "image/png"},
        {"type": "audio", "data": "", "mimeType": "audio/wav"},
        {"type": "resource", "resource": {"uri": "u", "blob": ""}},
        {"type": "text", "text": " \n"},
    ],
)
def test_what_the_model_cannot_read_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        text_of(block)
    assert refused.value.code == -32602
