"""What delimits turns, calls, results and thoughts in a model's own chat template.

A conversation of made-up words is rendered; what stands around the words and looks like a marker
is a delimiter. So no list of known delimiters is needed, and one that nobody knew is found.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from punie.models.mlx.chat_format import MARKERS, ChatFormat, ToolSpecification

QUESTION, ANSWER, THOUGHT, RESULT = "qzquestion", "qzanswer", "qzthought", "qzresult"
NAME, KEY, VALUE = "qzname", "qzkey", "qzvalue"

PROBE_TOOL = ToolSpecification(
    NAME,
    "qzdescription",
    {
        "type": "object",
        "properties": {KEY: {"type": "string", "description": "qzmeaning"}},
        "required": [KEY],
    },
)
"""A tool of words that occur nowhere else."""

# <|name|>, <name>, </name> and [NAME], with the letters that published templates use in them.
_MARKER = re.compile(rb"<\|[^<>\s]+?\|>|</?[\w|:\-\x80-\xff]+>|\[/?[A-Z][A-Z_]*\]")

Message = dict[str, Any]


@dataclass(frozen=True)
class Delimiter:
    """A marker of a template and the tokens that it is written with."""

    text: str
    tokens: tuple[int, ...]
    is_control: bool

    @property
    def is_single(self) -> bool:
        """Whether it is one token that no text can become."""
        return self.is_control and len(self.tokens) == 1

    def __str__(self) -> str:
        if self.is_single:
            return f"{self.text} {self.tokens[0]}"
        return f"{self.text} in {len(self.tokens)} tokens"


def probe_call(value: str = VALUE, thought: str = "") -> Message:
    """Return an assistant's turn that calls the probe tool."""
    function = {"name": NAME, "arguments": {KEY: value}}
    message: Message = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    return message | ({"reasoning_content": thought} if thought else {})


def find_delimiters(chat_format: ChatFormat, template: str) -> list[Delimiter]:
    """Return the delimiters of a template in the order in which they occur.

    Around calls and thoughts those that the model writes; between the opening and the closing
    marker of a call its inner parts may be ordinary text, so those do not count. Raises
    `punie.models.mlx.chat.renderer.TemplateError` if the template refuses even plain messages.
    """
    question = {"role": "user", "content": QUESTION}
    result = {"role": "tool", "content": RESULT}
    answer = {"role": "assistant", "content": ANSWER}
    thinking = answer | {"reasoning_content": THOUGHT}
    found = [
        *_between(chat_format, [question, answer, question], QUESTION, ANSWER),
        *end_of_turn(chat_format),
    ]
    if _mentions(chat_format, [question, probe_call()], NAME):
        after = _between(chat_format, [question, probe_call(), result], VALUE, RESULT)
        closing = [mark.text for mark in after]
        ends = [mark.text for mark in end_of_turn(chat_format)]
        inner = closing.index(ends[0]) - 1 if ends and ends[0] in closing else len(closing)
        found += _between(chat_format, [question, probe_call()], QUESTION, NAME)
        found += after[max(0, inner) :]
        if _mentions(chat_format, [question, probe_call(), result], RESULT):
            found += _between(chat_format, [question, probe_call(), result, answer], RESULT, ANSWER)
    if _mentions(chat_format, [question, thinking], THOUGHT):
        found += _between(chat_format, [question, thinking], QUESTION, THOUGHT)
        found += _between(chat_format, [question, thinking], THOUGHT, ANSWER)
    found += [_spelled(chat_format, marker) for marker in MARKERS if marker in template]
    return list({mark.text: mark for mark in found}.values())


def end_of_turn(chat_format: ChatFormat) -> list[Delimiter]:
    """Return what the template writes behind an answer, its first marker; empty for none.

    Raises `punie.models.mlx.chat.renderer.TemplateError` if it refuses plain messages.
    """
    question = {"role": "user", "content": QUESTION}
    messages = [question, {"role": "assistant", "content": ANSWER}]
    return _between(chat_format, messages, ANSWER, None)[:1]


def rendered(
    chat_format: ChatFormat, messages: Sequence[Message], tools: Sequence[ToolSpecification] = ()
) -> str:
    """Return what a conversation is rendered to, as text.

    Raises `punie.models.mlx.chat.renderer.TemplateError`.
    """
    tokens = chat_format.encode(messages, tools, generation_prompt=False).tokens
    return chat_format.vocabulary.text(tokens)


def _mentions(chat_format: ChatFormat, messages: Sequence[Message], word: str) -> bool:
    return word in rendered(chat_format, messages)


def _between(
    chat_format: ChatFormat, messages: Sequence[Message], start: str, end: str | None
) -> list[Delimiter]:
    """Return the markers behind the first `start` and before the `end` that follows it."""
    tokens = chat_format.encode(messages, generation_prompt=False).tokens
    pieces = [chat_format.vocabulary.token_bytes(token) for token in tokens]
    ends = list(accumulate(map(len, pieces)))
    text = b"".join(pieces)
    place = text.find(start.encode())
    if place < 0:
        return []
    place += len(start)
    stop = len(text) if end is None else text.find(end.encode(), place)
    found = []
    for match in _MARKER.finditer(text, place, stop if stop >= 0 else len(text)):
        inside = [
            token
            for token, piece, last in zip(tokens, pieces, ends, strict=True)
            if last > match.start() and last - len(piece) < match.end() and piece
        ]
        name = chat_format.vocabulary.control_name(inside[0])
        found.append(Delimiter(match.group().decode("utf-8", "replace"), tuple(inside), bool(name)))
    return found


def _spelled(chat_format: ChatFormat, marker: str) -> Delimiter:
    token = chat_format.vocabulary.control.get(marker)
    if token is not None:
        return Delimiter(marker, (token,), True)
    return Delimiter(marker, tuple(chat_format.vocabulary.encode_text(marker)), False)
