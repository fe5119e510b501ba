"""A conversation as token ids, with a mark on every token that the assistant wrote."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from punie.training.tiny_architecture import TURN_END, TURN_START
from punie.training.tokenizer import text_only

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
    """A stretch of a rendered conversation.

    Attributes:
        text: what stands there; the name of the token for a control token.
        control: whether it is one control token rather than text.
        learned: whether the assistant wrote it, so that it is learned.
    """

    text: str
    control: bool
    learned: bool


def rendered(messages: Sequence[Message]) -> list[Piece]:
    """The conversation as pieces, equal to what the bundled chat template writes.

    System messages are left out: what they would say is learned.

    Raises:
        ValueError: a message has a role that is none of user, assistant, tool and system.
    """
    pieces: list[Piece] = []
    spoken = [message for message in messages if message["role"] != "system"]
    for index, message in enumerate(spoken):
        match message["role"]:
            case "user":
                pieces += _turn("user", [Piece(message["content"], False, False)])
            case "assistant":
                pieces += _turn("assistant", list(_answer(message)))
            case "tool":
                first = index == 0 or spoken[index - 1]["role"] != "tool"
                last = index + 1 == len(spoken) or spoken[index + 1]["role"] != "tool"
                pieces += _result(message["content"], first, last)
            case role:
                raise ValueError(f"a message has the unknown role {role!r}")
    return pieces


def _turn(role: str, inner: list[Piece]) -> list[Piece]:
    return [
        Piece(TURN_START, True, False),
        Piece(f"{role}\n", False, False),
        *inner,
        Piece(TURN_END, True, role == "assistant"),
        Piece("\n", False, False),
    ]


def _answer(message: Message) -> Iterator[Piece]:
    text = message.get("content") or ""
    calls = message.get("tool_calls") or []
    if not calls:
        yield Piece(text, False, True)
        return
    if text.strip():
        yield Piece(text.strip() + "\n\n", False, True)
    for index, item in enumerate(calls):
        function = item.get("function", item)
        if index:
            yield Piece("\n", False, True)
        yield Piece("<tool_call>", True, True)
        yield Piece(_call(function), False, True)
        yield Piece("</tool_call>", True, True)


def _call(function: Mapping[str, Any]) -> str:
    parts = [f"\n<function={function['name']}>\n"]
    for key, value in (function.get("arguments") or {}).items():
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        parts.append(f"<parameter={key}>\n{written}\n</parameter>\n")
    parts.append("</function>\n")
    return "".join(parts)


def _result(content: str, first: bool, last: bool) -> list[Piece]:
    pieces = [Piece(TURN_START, True, False), Piece("user\n", False, False)] if first else []
    pieces += [
        Piece("<tool_response>", True, False),
        Piece(f"\n{content}\n", False, False),
        Piece("</tool_response>", True, False),
        Piece("\n", False, False),
    ]
    if last:
        pieces += [Piece(TURN_END, True, False), Piece("\n", False, False)]
    return pieces


class ConversationEncoder:
    """Turns conversations into ids the way the bundled model is served."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._text = text_only(tokenizer)
        self._control = {
            token.content: number for number, token in tokenizer.get_added_tokens_decoder().items()
        }

    def encode(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """The ids of a whole conversation, and for each whether it is learned."""
        return self.encode_many([messages])[0]

    def encode_many(
        self, conversations: Sequence[Sequence[Message]]
    ) -> list[tuple[list[int], list[bool]]]:
        """As `encode`, for many conversations at once; much faster than one by one."""
        pieces = [rendered(messages) for messages in conversations]
        texts = [piece.text for each in pieces for piece in each if not piece.control]
        encoded = iter(self._text.encode_batch_fast(texts, add_special_tokens=False))
        results: list[tuple[list[int], list[bool]]] = []
        for each in pieces:
            ids: list[int] = []
            learned: list[bool] = []
            for piece in each:
                new = [self._control[piece.text]] if piece.control else next(encoded).ids
                ids += new
                learned += [piece.learned] * len(new)
            results.append((ids, learned))
        return results

    def opening(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation followed by the start of the assistant's turn."""
        start = self._text.encode("assistant\n", add_special_tokens=False).ids
        return [*self.encode(messages)[0], self._control[TURN_START], *start]


def encode_conversation(
    tokenizer: Tokenizer, messages: Sequence[Message]
) -> tuple[list[int], list[bool]]:
    """The ids of one conversation and the mask of what is learned."""
    return ConversationEncoder(tokenizer).encode(messages)
