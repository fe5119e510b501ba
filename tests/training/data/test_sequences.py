from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.models.catalog import bundled_directory
from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.sequences import (
    TrainingSequence,
    tool_specifications,
    training_sequences,
)
from punie.training.errors import TrainingError
from tests import assets
from tests.training.data.samples import PREFIX, answer, example, result, user
from tests.training.sample_conversations import called, conversations, model_folder

TINY = ChatFormat.load(bundled_directory())


@pytest.fixture(scope="module")
def chat_format(tmp_path_factory: pytest.TempPathFactory) -> ChatFormat:
    return model_folder(tmp_path_factory.mktemp("model"))


def one_by_one(chat_format: ChatFormat) -> ChatFormat:
    """The same format, that encodes every turn of a conversation anew."""
    slow = ChatFormat.__new__(ChatFormat)
    slow.__dict__ |= chat_format.__dict__ | {"answer_opening": None}
    return slow


def test_one_sequence_where_conversations_only_grow(chat_format: ChatFormat) -> None:
    slow = one_by_one(chat_format)
    for messages in conversations(5):
        talk = Example.model_validate({"messages": messages})
        found = training_sequences(chat_format, talk, PromptPrefix(instructions="Be kind."))
        assert len(found) == 1
        assert found == training_sequences(slow, talk, PromptPrefix(instructions="Be kind."))


def test_what_is_only_context_is_read_and_not_learned(chat_format: ChatFormat) -> None:
    messages = conversations(1)[0]
    more = [*messages, {"role": "user", "content": "And?"}, {"role": "assistant", "content": "3"}]
    prefix = PromptPrefix(instructions="Be kind.")
    whole = Example.model_validate({"messages": more})
    later = Example.model_validate({"messages": more, "context": len(messages)})
    (all_learned,) = training_sequences(chat_format, whole, prefix)
    (found,) = training_sequences(chat_format, later, prefix)
    assert found.ids == all_learned.ids
    begin = len(
        training_sequences(
            chat_format,
            whole.model_copy(update={"messages": whole.messages[: len(messages)]}),
            prefix,
        )[0].ids
    )
    assert found.learned == [False] * begin + all_learned.learned[begin:]
    assert any(found.learned)


@assets.needs_assets
def test_thinking_is_off_for_an_answer_without_a_thought() -> None:
    # This template prompts with an open thought; an empty one is other tokens than its beginning.
    model = assets.chat_format("Qwen3.5-4B")
    question = {"role": "user", "content": "Two and two?"}
    answer = {"role": "assistant", "content": "Four."}
    for thought in (None, "Count."):
        said = answer if thought is None else answer | {"reasoning_content": thought}
        example = Example.model_validate({"messages": [question, said]})
        (found,) = training_sequences(model, example, PromptPrefix())
        learned = [
            token for token, is_learned in zip(found.ids, found.learned, strict=True) if is_learned
        ]
        text = model.vocabulary.text(learned)
        assert text == ("" if thought is None else "Count.\n</think>\n\n") + "Four.<|im_end|>"
        prompt = model.encode([question], thinking=False if thought is None else None).tokens
        assert found.ids[: len(prompt)] == prompt
        assert found.learned[: len(prompt)] == [False] * len(prompt)


def thinking(message: dict[str, Any], thought: str | None) -> dict[str, Any]:
    return message if thought is None else message | {"reasoning_content": thought}


words = st.text("ab \n<>|/é{}\"'\U000f0001", max_size=12) | st.sampled_from(
    ["<|im_start|>assistant\nyes<|im_end|>", "</think>", "<tool_call>", "\n\n", "assistant\n"]
)
thoughts = st.none() | st.sampled_from(["", "Hm.", "So\n\nthen"])


@st.composite
def examples(draw: st.DrawFn) -> Example:
    messages: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 3))):
        messages.append(user(draw(words)))
        for _ in range(draw(st.integers(0, 2))):
            call = called("read_file", path=draw(words), start_line=draw(st.integers(0, 3)))
            count = draw(st.integers(1, 2))
            call |= {"content": draw(words), "tool_calls": call["tool_calls"] * count}
            messages.append(thinking(call, draw(thoughts)))
            messages += [result(draw(words)) for _ in range(count)]
        messages.append(thinking(answer(draw(words)), draw(thoughts)))
    return example(*messages, context=draw(st.integers(0, 2)))


def sequences_or_error(chat_format: ChatFormat, talk: Example) -> list[TrainingSequence] | str:
    try:
        return training_sequences(chat_format, talk, PREFIX)
    except TrainingError as error:
        return str(error)


@settings(max_examples=60, deadline=None)
@given(examples())
def test_the_fast_way_gives_what_the_slow_way_gives(talk: Example) -> None:
    assert TINY.answer_opening is not None
    assert sequences_or_error(TINY, talk) == sequences_or_error(one_by_one(TINY), talk)


@assets.needs_assets
@settings(max_examples=40, deadline=None)
@given(examples())
def test_the_fast_way_gives_what_the_slow_way_gives_with_the_coder(talk: Example) -> None:
    coder = assets.chat_format("Qwen3-Coder-30B-A3B-Instruct")
    assert coder.answer_opening is not None
    assert sequences_or_error(coder, talk) == sequences_or_error(one_by_one(coder), talk)


@assets.needs_assets
@pytest.mark.parametrize("name", assets.TEMPLATES[1:])
@settings(max_examples=25, deadline=None)
@given(talk=examples())
def test_what_is_learned_stands_behind_what_serving_prompts_with(name: str, talk: Example) -> None:
    served = assets.chat_format(name)
    assert served.answer_opening is None
    found = sequences_or_error(served, talk)
    if isinstance(found, str):
        assert "renders an answer in another way" in found
        return
    messages = [{"role": "system", "content": PREFIX.instructions}, *talk.chat()]
    tools = tool_specifications(PREFIX)
    prompts = []
    for place, message in enumerate(messages):
        if message["role"] == "assistant" and place > talk.context:
            mode = None if message.get("reasoning_content") else False
            prompts.append(served.encode(messages[:place], tools, thinking=mode).tokens)
    starts = [
        sequence.ids[:place]
        for sequence in found
        for place in range(1, len(sequence.ids))
        if sequence.learned[place] and not sequence.learned[place - 1]
    ]
    assert starts == prompts
    ends = served.stop_ids
    for sequence in found:
        pairs = zip(sequence.ids, sequence.learned, strict=True)
        assert [token for token, mine in pairs if mine][-1] in ends


def shown(chat_format: ChatFormat, sequence: TrainingSequence) -> list[str]:
    """What is read and what is learned, in turn."""
    runs: list[list[int]] = []
    mine = None
    for token, learned in zip(sequence.ids, sequence.learned, strict=True):
        if learned != mine:
            runs.append([])
            mine = learned
        runs[-1].append(token)
    return [chat_format.vocabulary.text(run) for run in runs]


TWO_TURNS = [
    user("a"),
    thinking(called("read_file", path="b"), "Look."),
    result("c"),
    thinking(answer("d"), "Done."),
    user("e"),
    answer("f"),
]


@assets.needs_assets
def test_thoughts_of_earlier_turns_are_gone_as_in_serving() -> None:
    served = assets.chat_format("Qwen3.5-4B")
    first, second = training_sequences(served, example(*TWO_TURNS), PREFIX)
    _, call, _, reply, _ = shown(served, first)
    assert call.startswith("Look.\n</think>\n\n<tool_call>\n<function=read_file>")
    assert reply == "Done.\n</think>\n\nd<|im_end|>"
    read, learned, _ = shown(served, second)
    assert "Look." not in read
    assert read.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert learned == "f<|im_end|>"


@assets.needs_assets
def test_an_empty_thought_is_read_and_not_learned() -> None:
    served = assets.chat_format("Qwen-Qwen3-0.6B")
    talk = example(user("a"), called("read_file", path="b"), result("c"), answer("d"))
    first, second = training_sequences(served, talk, PREFIX)
    assert shown(served, first)[0].endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    read, learned, _ = shown(served, second)
    # The template writes the empty thought of the last answer only.
    assert read.count("<think>") == 1
    assert learned == "d<|im_end|>"


@assets.needs_assets
def test_an_answer_that_melts_into_its_opening_is_refused() -> None:
    coder = assets.chat_format("Qwen3-Coder-30B-A3B-Instruct")
    with pytest.raises(TrainingError, match=r"renders an answer in another way .*'Hello.'"):
        training_sequences(coder, example(user("a"), answer("\nHello.")), PREFIX)


def test_what_the_template_refuses_is_told() -> None:
    refusing = ChatFormat("{{ raise_exception('No tools here.') }}", TINY.vocabulary)
    with pytest.raises(TrainingError, match=r"No tools here.*that asks 'Why\?'"):
        training_sequences(refusing, example(user("Why?"), answer("So.")), PREFIX)
