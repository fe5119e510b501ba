"""A conversation as token ids, with a mark on every token that the assistant wrote.

The ids come from the renderer that serves the model, so what is trained is what is served. No
content can become a control token there, so the marks can be read off the ids alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from punie.models.mlx.chat_format import ChatFormat
from punie.training.pretraining.tiny_architecture import TURN_END, TURN_START

Message = Mapping[str, Any]


def encode_conversation(
    chat_format: ChatFormat, messages: Sequence[Message]
) -> tuple[list[int], list[bool]]:
    """The ids of a whole conversation, and for each whether it is learned.

    Learned is what the assistant writes: the inside of its turns and the token that ends them.
    """
    ids = chat_format.encode(messages, generation_prompt=False).tokens
    control = chat_format.vocabulary.control
    opening = [control[TURN_START], *chat_format.vocabulary.encode_text("assistant\n")]
    learned = [False] * len(ids)
    place = 0
    while place < len(ids):
        if ids[place : place + len(opening)] != opening:
            place += 1
            continue
        start = place + len(opening)
        place = ids.index(control[TURN_END], start) + 1
        learned[start:place] = [True] * (place - start)
    return ids, learned


def texts(
    chat_format: ChatFormat, conversations: Sequence[Sequence[Message]], decoder: Tokenizer
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
