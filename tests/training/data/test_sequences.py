import pytest

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.conversation import encode_conversation
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.sequences import training_sequences
from tests.training.sample_conversations import conversations, model_folder


@pytest.fixture(scope="module")
def chat_format(tmp_path_factory: pytest.TempPathFactory) -> ChatFormat:
    return model_folder(tmp_path_factory.mktemp("model"))


def test_one_sequence_where_conversations_only_grow(chat_format: ChatFormat) -> None:
    for messages in conversations(5):
        example = Example.model_validate({"messages": messages})
        (found,) = training_sequences(chat_format, example, PromptPrefix(instructions="Be kind."))
        assert (found.ids, found.learned) == encode_conversation(chat_format, messages)
