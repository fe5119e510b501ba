"""Examples as token ids, with a mark on every token that is learned.

The ids come from the renderer that serves the model (`ChatFormat`), with the instructions and tools
of the example's prompt prefix: what is trained is what is served. Learned is what the assistant
writes: the inside of its turns and the token that ends them; not what is only `Example.context`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from punie.models.mlx.chat.renderer import TemplateError
from punie.models.mlx.chat_format import (
    ChatFormat,
    ChatMessage,
    Prompt,
    ToolSpecification,
    find_openings,
)
from punie.tools.wording import one_line
from punie.training.data.example import Example, PromptPrefix
from punie.training.errors import TrainingError


@dataclass(frozen=True)
class TrainingSequence:
    """Token ids, and for each whether it is learned."""

    ids: list[int]
    learned: list[bool]


def training_sequences(
    chat_format: ChatFormat, example: Example, prefix: PromptPrefix
) -> list[TrainingSequence]:
    """Return what a model reads and writes in an example.

    One sequence where a longer conversation only appends to a shorter one. Where the template
    rewrites earlier turns (those that drop thoughts), a sequence for each turn that it rewrites,
    each as the model would see it when it answers. An answer without a thought is taken for one of
    a model whose thinking is switched off, where the template can say so: the empty thought that
    such a prompt ends with is read, not learned.

    Raises:
        TrainingError: the template refuses the messages, or does not let what it prompts with
            stand in what it renders.
    """
    messages: list[ChatMessage] = [*example.chat()]
    if prefix.instructions:
        messages.insert(0, {"role": "system", "content": prefix.instructions})
    first_learned = example.context + bool(prefix.instructions)
    tools = tool_specifications(prefix)
    try:
        whole = _in_one(chat_format, messages, tools, first_learned)
        if whole is None:
            return _turn_by_turn(chat_format, messages, tools, first_learned)
    except TemplateError as error:
        raise TrainingError(
            f"{error} (an example that asks {one_line(example.query, 40)!r})."
        ) from error
    return whole


def _in_one(
    chat_format: ChatFormat,
    messages: Sequence[ChatMessage],
    tools: Sequence[ToolSpecification],
    first_learned: int,
) -> list[TrainingSequence] | None:
    """Encode the conversation once, where that is the same as turn by turn; None elsewhere."""
    opening = chat_format.answer_opening
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if opening is None or not answers or answers[-1] < first_learned:
        return None
    ids = chat_format.encode(messages[: answers[-1] + 1], tools, generation_prompt=False).tokens
    found = [end for _, end in find_openings(ids, opening)]
    if len(found) != len(answers):
        # An answer that begins with white space can melt into its opening.
        return None
    learned = [False] * len(ids)
    for place, start in zip(answers, found, strict=True):
        if place >= first_learned:
            end = _end_of_turn(ids, start, chat_format)
            learned[start:end] = [True] * (end - start)
    return [TrainingSequence(ids, learned)]


def _turn_by_turn(
    chat_format: ChatFormat,
    messages: Sequence[ChatMessage],
    tools: Sequence[ToolSpecification],
    first_learned: int,
) -> list[TrainingSequence]:
    found: list[TrainingSequence] = []
    for place, message in enumerate(messages):
        if message["role"] != "assistant" or place < first_learned:
            continue
        ids = chat_format.encode(messages[: place + 1], tools, generation_prompt=False).tokens
        prompt = asked_for(chat_format, messages[: place + 1], tools, ids).tokens
        end = _end_of_turn(ids, len(prompt), chat_format)
        learned = [False] * len(prompt) + [True] * (end - len(prompt)) + [False] * (len(ids) - end)
        before = found[-1] if found else None
        if before is not None and ids[: len(before.ids)] == before.ids:
            learned[: len(before.ids)] = before.learned
            found.pop()
        found.append(TrainingSequence(ids, learned))
    return found


def asked_for(
    chat_format: ChatFormat,
    messages: Sequence[ChatMessage],
    tools: Sequence[ToolSpecification],
    ids: Sequence[int],
) -> Prompt:
    """Return the prompt that asks for the last of `messages`, which stand in `ids`.

    An answer without a thought is what a model gives whose thinking is switched off, so it is asked
    for in that way where the template can.

    Raises:
        TrainingError: the template does not let what it prompts with stand in what it renders.
    """
    thinking = None if messages[-1].get("reasoning_content") else False
    prompt = chat_format.encode(messages[:-1], tools, thinking=thinking)
    if list(ids[: len(prompt.tokens)]) != prompt.tokens:
        answer = one_line(messages[-1].get("content", ""), 40)
        raise TrainingError(
            "The model's chat template renders an answer in another way than it asks for it "
            f"({answer!r}), so training would teach what is never served; `punie gate zero` tells "
            "more."
        )
    return prompt


def tool_specifications(prefix: PromptPrefix) -> list[ToolSpecification]:
    """Return a prefix's tools as the renderer takes them."""
    return [_specification(tool["function"]) for tool in prefix.tools]


def _specification(function: Any) -> ToolSpecification:
    return ToolSpecification(
        function["name"], function.get("description", ""), function.get("parameters", {})
    )


def _end_of_turn(ids: Sequence[int], start: int, chat_format: ChatFormat) -> int:
    """Return where the turn that starts at `start` has ended, its end token included."""
    for place in range(start, len(ids)):
        if ids[place] in chat_format.stop_ids:
            return place + 1
    return len(ids)
