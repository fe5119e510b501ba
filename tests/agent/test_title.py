import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.agent.events import PromptLink, PromptText, TurnEvent, UserMessage
from punie.agent.title import LONGEST_TITLE, title_from_events, title_of


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("Fix the bug in app.py", "Fix the bug in app.py"),
        ("Please fix the bug in src/app.py. It crashes.", "Fix the bug in src/app.py"),
        ("could you please explain `greet`?", "Explain greet?"),
        ("Hi! Can you add tests for the parser?", "Add tests for the parser?"),
        ("hello punie,\n\nI'd like you to rename foo to bar.", "Rename foo to bar"),
        ("app.py is broken", "app.py is broken"),
        ("/src/app.py is broken", "/src/app.py is broken"),
        ("my_module fails", "my_module fails"),
        ("why does __init__.py import **kwargs?", "Why does __init__.py import **kwargs?"),
        ("# Task\n\nDo the work", "Task"),
        ("- [ ] **Upgrade** the [docs](https://example.org)", "Upgrade the docs"),
        ("Compare lists, e.g. of names. Then stop.", "Compare lists, e.g. of names"),
        ("```python\nx = 1\n```\nWhat is x?", "What is x?"),
        ("Update to 3.12 please.", "Update to 3.12"),
        ("Über Größe: prüfe das", "Über Größe: prüfe das"),
        ("line one\x1b[31m red", "Line one [31m red"),
        ("1. First thing\n2. Second", "First thing"),
        (
            "Refactor the session store so that it keeps attachments next to the events",
            "Refactor the session store so that it keeps attachments…",
        ),
        ("x" * 200, "X" + "x" * 58 + "…"),
        ("/very/" + "long/" * 20 + "name.py", "name.py"),
        ("just do it", "Do it"),
        ("please", "Please"),
    ],
)
def test_titles(prompt: str, title: str) -> None:
    assert title_of(prompt) == title


@pytest.mark.parametrize(
    "prompt",
    ["", "  \n", "Hi!", "hello there", "Thanks, ok.", "/help", "/undo 2", "...", "```\ncode\n```"],
)
def test_nothing_to_make_a_title_of(prompt: str) -> None:
    assert title_of(prompt) is None


@given(st.text(max_size=300))
def test_any_prompt_gives_a_short_printable_title_or_none(prompt: str) -> None:
    title = title_of(prompt)
    if title is not None:
        assert 0 < len(title) <= LONGEST_TITLE
        assert title.isprintable()
        assert "`" not in title
        assert title == title.strip()


@given(st.lists(st.sampled_from(["fix", "src/app/models.py", "the", "a-long-name_of.txt"])))
def test_words_are_never_cut_in_the_middle(words: list[str]) -> None:
    title = title_of(" ".join(words))
    if title is not None:
        assert {word.lower() for word in title.removesuffix("…").split()} <= set(words)


def message(*texts: str, command: str | None = None) -> UserMessage:
    blocks = tuple(PromptText(text=text) for text in texts)
    return UserMessage(
        message_id="m", blocks=blocks, text="noted " + "".join(texts), command=command
    )


def test_the_first_prompt_that_says_something_gives_the_title() -> None:
    events: list[TurnEvent] = [
        message("/undo", command="undo"),
        message("Hi there!"),
        message("Fix it"),
        message("Later"),
    ]
    assert title_from_events(events) == "Fix it"
    assert title_from_events(events[:2]) is None


def test_files_pointed_at_are_part_of_the_title() -> None:
    link = PromptLink(uri="file:///p/src/app.py", name="app.py")
    event = UserMessage(
        message_id="m",
        blocks=(PromptText(text="Explain"), link, PromptText(text="and test it")),
        text="",
    )
    assert title_from_events([event]) == "Explain app.py and test it"


@pytest.mark.parametrize(
    "piece", ["a line\n", "\n", "``` x\n", "*a", "~~a ", "[a", "- - ", "... ", "a."]
)
def test_a_huge_prompt_takes_no_time(piece: str) -> None:
    # The whole program waits meanwhile; before the cut some of these took minutes.
    begin = time.monotonic()
    title_of(piece * 2_000_000)
    assert time.monotonic() - begin < 5
