import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.training.pretraining.tiny_architecture import CONTROL_TOKENS
from punie.training.pretraining.tokenizer import split_pieces, train_tokenizer
from tests.training.sample_conversations import SHAPE, conversations, model_folder


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(conversations(300), SHAPE.vocab_size)


def test_control_tokens_are_the_last_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == SHAPE.vocab_size
    first = SHAPE.vocab_size - len(CONTROL_TOKENS)
    numbers = [tokenizer.token_to_id(token) for token in CONTROL_TOKENS]
    assert numbers == list(range(first, SHAPE.vocab_size))


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    vocabulary = Vocabulary(json.loads(tokenizer.to_str()))
    ids = vocabulary.encode_text(text)
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert not set(ids) & set(vocabulary.control.values())


@pytest.mark.parametrize(
    "place",
    [
        "read {}",
        "`{}`",
        "12:{}",
        "a/{}.py",
        '"{}"',
        "    {}(",
        "\n{}\n",
        '\\n{}\\n"',
        "1{}2",
        "_{}",
    ],
)
def test_a_name_is_the_same_pieces_everywhere(place: str) -> None:
    name = "parse_HTTPRequest"
    wanted = ["parse", "_", "HTTP", "Request"]
    pieces = split_pieces(place.format(name))
    assert any(pieces[i : i + 4] == wanted for i in range(len(pieces)))


def test_frames_of_calls_are_whole_pieces() -> None:
    text = "<function=read_file>\n<parameter=path>\na\n</parameter>\n</function>"
    assert split_pieces(text) == [
        "<function=read_file>",
        "\n",
        "<parameter=path>",
        "\n",
        "a",
        "\n",
        "</parameter>",
        "\n",
        "</function>",
    ]


def test_too_little_text_is_refused() -> None:
    with pytest.raises(ValueError, match="the texts fill only"):
        train_tokenizer(conversations(1), 5000)


def test_transformers_reads_the_files(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    chat_format = model_folder(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert theirs.eos_token == "<|im_end|>"
    assert theirs.pad_token == "<|endoftext|>"
    for messages in conversations(20, seed=9):
        rendered = theirs.apply_chat_template(messages, tokenize=False)
        assert (
            theirs.encode(rendered, add_special_tokens=False)
            == chat_format.encode(messages, generation_prompt=False).tokens
        )
