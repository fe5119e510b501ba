import pytest

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.conversation import encode_conversation
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.sequences import training_sequences
from tests.assets import chat_format as published
from tests.assets import needs_assets
from tests.training.sample_conversations import conversations, model_folder


@pytest.fixture(scope="module")
def chat_format(tmp_path_factory: pytest.TempPathFactory) -> ChatFormat:
    return model_folder(tmp_path_factory.mktemp("model"))


def test_one_sequence_where_conversations_only_grow(chat_format: ChatFormat) -> None:
    for messages in conversations(5):
        example = Example.model_validate({"messages": messages})
        (found,) = training_sequences(chat_format, example, PromptPrefix(instructions="Be kind."))
        assert (found.ids, found.learned) == encode_conversation(chat_format, messages)


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


@needs_assets
def test_thinking_is_off_for_an_answer_without_a_thought() -> None:
    # This template prompts with an open thought; an empty one is other tokens than its beginning.
    model = published("Qwen3.5-4B")
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
