"""Training the bundled model's tokenizer: a small byte-level BPE that splits names the same way.

A small network copies a file name only if it is the same tokens in the prompt, in a tool's answer
and in its own call. So no token crosses the border of a word, a digit, a space or a newline,
whatever stands next to it. The frame of a tool call is cut out whole and becomes single tokens;
they are ordinary text tokens, so content that looks like a frame is still only text.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.chat_format import ChatFormat, ChatMessage
from punie.training.pretraining.tiny_architecture import (
    CONTROL_TOKENS,
    END_OF_TEXT,
    TURN_END,
    Calls,
    chat_template,
)

PIECES = "|".join(
    (
        r"</?(?:function|parameter)(?:=[a-z_]+)?>",  # the frame of a tool call
        r'\[?\{"old_text": "|", "new_text": "|"\}[,\]]',  # the frame of a list of edits
        r"\\[a-zA-Z\"\\/]",  # an escape, so that the word after \n stays whole
        r"\p{Lu}+(?!\p{Ll})|\p{Lu}?\p{Ll}+|\p{L}",  # words, split where the case changes
        r"\p{N}",
        r" {4}",  # one step of indentation
        r"\s",
        r"[^\s\p{L}\p{N}]",
    )
)
"""What one token may at most span."""

TOOL_PARSERS: Mapping[Calls, str] = {"xml": "qwen3_coder", "json": "json_tools"}
"""What mlx-lm calls the parsers of the formats."""


def train_tokenizer(conversations: Sequence[Sequence[ChatMessage]], vocab_size: int) -> Tokenizer:
    """Learn a vocabulary of exactly `vocab_size` ids, the control tokens included.

    Args:
        conversations: what the model will read and write.
        vocab_size: number of ids; at least the 256 bytes and the control tokens.

    Raises:
        ValueError: the texts do not hold enough different pieces to fill the vocabulary.
    """
    # The chat template is rendered with a tokenizer that knows only bytes, to learn a better one.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = {letter: number for number, letter in enumerate(alphabet)}
    plain = _with_control_tokens(_byte_level(BPE(vocab=letters, merges=[])))
    chat_format = ChatFormat(chat_template(), Vocabulary(json.loads(plain.to_str())))
    ordinary = vocab_size - len(CONTROL_TOKENS)
    trainer = BpeTrainer(
        vocab_size=ordinary, min_frequency=2, show_progress=False, initial_alphabet=alphabet
    )
    tokenizer = _byte_level(BPE())
    tokenizer.train_from_iterator(_texts(chat_format, conversations, plain), trainer)
    if tokenizer.get_vocab_size() != ordinary:
        raise ValueError(
            f"the texts fill only {tokenizer.get_vocab_size()} of {ordinary} vocabulary entries"
        )
    return _with_control_tokens(tokenizer)


def _texts(
    chat_format: ChatFormat, conversations: Sequence[Sequence[ChatMessage]], decoder: Tokenizer
) -> Iterator[str]:
    """What stands between the control tokens of some conversations."""
    control = set(chat_format.vocabulary.control.values())
    for messages in conversations:
        text: list[int] = []
        for token in chat_format.encode(messages, generation_prompt=False).tokens:
            if token not in control:
                text.append(token)
            elif text:
                yield decoder.decode(text)
                text = []
        if text:
            yield decoder.decode(text)


def _byte_level(model: BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _with_control_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """Give the control tokens the ids that follow the vocabulary's last."""
    for name in CONTROL_TOKENS:
        special = name.startswith("<|")
        token = AddedToken(name, special=special, normalized=False)
        tokenizer.add_special_tokens([token]) if special else tokenizer.add_tokens([token])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, max_positions: int) -> None:
    """Write tokenizer.json and tokenizer_config.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "bos_token": None,
        "unk_token": None,
        "model_max_length": max_positions,
        "clean_up_tokenization_spaces": False,
        "tool_parser_type": TOOL_PARSERS["xml"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def split_pieces(text: str) -> Sequence[str]:
    """How the tokenizer cuts `text` before any merging; for tests and for looking at data."""
    splitter = pre_tokenizers.Split(Regex(PIECES), "isolated")
    return [piece for piece, _ in splitter.pre_tokenize_str(text)]
