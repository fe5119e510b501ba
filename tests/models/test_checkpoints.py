"""Checkpoints against the rendering of what the conversation may become."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.models.mlx.chat.checkpoints import Checkpoints, find_checkpoints
from punie.models.mlx.chat_format import ChatFormat, Prompt, ToolSpecification
from tests.assets import TEMPLATES, chat_format, needs_assets
from tests.models.families import TEMPLATE_NAMES, FamilyDirectories, TemplateName

TOOLS = (
    ToolSpecification("read_file", "Read.", {"properties": {"path": {"type": "string"}}}),
    ToolSpecification("list", "List.", {"properties": {}}),
)

_pieces = ["a", "é", " ", "\n", "<|im_start|>", "<tool_response>", "<think>", "user"]
contents = st.lists(st.sampled_from(_pieces), max_size=5).map(lambda p: f"x{''.join(p)}x")
calls = st.lists(
    st.builds(lambda path: {"name": "read_file", "arguments": {"path": path}}, contents),
    min_size=1,
    max_size=3,
)


def message(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


@st.composite
def steps(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An answer that calls tools, and their results."""
    made = draw(calls)
    text = draw(st.just("") | contents)
    answer = message("assistant", text, reasoning_content=draw(contents), tool_calls=made)
    return [answer, *(message("tool", draw(contents)) for _ in made)]


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A question with its steps and the last answer."""
    middle = [m for step in draw(st.lists(steps(), max_size=3)) for m in step]
    answer = message("assistant", draw(contents), reasoning_content=draw(contents))
    return [message("user", draw(contents)), *middle, answer]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """A conversation that waits for an answer, and what it may become.

    The first of the continuations go on in the same turn, the last one with a new question.
    """
    system = draw(st.booleans())
    history = [message("system", draw(contents))] if system else []
    for turn in draw(st.lists(turns(), max_size=2)):
        history += turn
    history.append(message("user", draw(contents)))
    for step in draw(st.lists(steps(), max_size=2)):
        history += step
    same_turn = [[*history, *draw(steps())] for _ in range(2)]
    last = message("assistant", draw(contents), reasoning_content=draw(contents))
    return history, [*same_turn, [*history, last, message("user", draw(contents))]]


def common(left: list[int], right: list[int]) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def check_checkpoints(
    chosen: ChatFormat,
    conversation: tuple[list[dict[str, Any]], list[list[dict[str, Any]]]],
    thinking: bool | None,
) -> None:
    history, continuations = conversation

    def encode(messages: list[dict[str, Any]]) -> Prompt:
        return chosen.encode(messages, TOOLS, thinking=thinking)

    now = encode(history)
    found = now.checkpoints
    begin = chosen.vocabulary.control["<|im_start|>"]
    assert found.system <= found.question < found.turn <= found.message < len(now.tokens)
    for place in (found.system, found.question, found.turn, found.message):
        assert now.tokens[place] == begin
    *same_turn, next_turn = [encode(messages) for messages in continuations]
    for later in same_turn:
        assert common(now.tokens, later.tokens) >= found.message
        assert later.checkpoints.turn == found.turn
    # The question is the user's last message: whatever else it said, the prompt went as far.
    asked = max(i for i, m in enumerate(history) if m["role"] == "user")
    other_question = encode([*history[:asked], message("user", "something else")])
    assert common(now.tokens, other_question.tokens) >= found.question
    assert other_question.checkpoints.question == found.question
    kept = common(now.tokens, next_turn.tokens)
    header = len(chosen.vocabulary.encode_text("assistant\n")) + 1
    assert kept >= found.turn
    if not chosen.keeps_thoughts and history[-1]["role"] == "tool":
        # Thoughts go from the first answer of the turn on: nothing further would be kept.
        assert kept <= found.turn + header
    if chosen.keeps_thoughts:
        assert kept >= found.message
    # Other sessions with these instructions begin with it, and nothing more is theirs.
    other = [m for m in history[:1] if m["role"] == "system"]
    other.append(message("user", "something else"))
    shared = common(now.tokens, encode(other).tokens)
    header = len(chosen.vocabulary.encode_text("user\n")) + 1
    assert found.system <= shared
    assert encode(other).checkpoints.system == found.system
    assert shared <= found.system + header


@needs_assets
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("thinking", [None, True, False])
@settings(max_examples=40)
@given(conversation=conversations())
def test_published_templates(name: str, thinking: bool | None, conversation: Any) -> None:
    check_checkpoints(chat_format(name), conversation, thinking)


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_own_templates(name: TemplateName, family_directories: FamilyDirectories) -> None:
    chosen = ChatFormat.load(family_directories.own("qwen3", name))

    @settings(max_examples=80)
    @given(conversation=conversations(), thinking=st.sampled_from([None, False]))
    def check(conversation: Any, thinking: bool | None) -> None:
        check_checkpoints(chosen, conversation, thinking)

    check()


def test_the_default_system_prompt_is_one_too(family_directories: FamilyDirectories) -> None:
    chosen = ChatFormat.load(family_directories.own("qwen2", "json"))
    prompt = chosen.encode([message("user", "hello")])
    system = prompt.tokens[: prompt.checkpoints.system]
    assert chosen.vocabulary.text(system) == "<|im_start|>system\nYou help.<|im_end|>\n"
    assert prompt.checkpoints.turn == prompt.checkpoints.message


def test_without_system_prompt_or_question(family_directories: FamilyDirectories) -> None:
    chosen = ChatFormat.load(family_directories.own("qwen3", "append"))
    prompt = chosen.encode([message("user", "hello")])
    assert prompt.checkpoints.system == 0
    only_system = chosen.encode([message("system", "hello")])
    place = only_system.checkpoints.message
    assert only_system.checkpoints == Checkpoints(system=place, turn=place, message=place)
    # Without the beginning of an answer, everything up to the question's end stays.
    finished = chosen.encode([message("user", "hello")], generation_prompt=False)
    assert finished.checkpoints == Checkpoints(turn=len(finished.tokens))


def test_templates_of_another_kind_have_none(family_directories: FamilyDirectories) -> None:
    vocabulary = ChatFormat.load(family_directories.own("qwen3", "append")).vocabulary
    plain = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    prompt = ChatFormat(plain, vocabulary).encode([message("user", "<|im_start|>user\nhello")])
    assert prompt.checkpoints == Checkpoints()
    # A template that drops messages leaves too few answers to count.
    tokens = prompt.tokens
    begin = vocabulary.control["<|im_start|>"]
    tokens = [begin, *vocabulary.encode_text("user\nhello")]
    found = find_checkpoints(tokens, vocabulary, ["user", "assistant"], generation_prompt=True)
    assert found == Checkpoints()
