"""Examples as token ids, with a mark on every token that is learned.

The ids come from the renderer that serves the model (`ChatFormat`), with the instructions and tools
of the example's prompt prefix: what is trained is what is served. Learned is what the assistant
writes: the inside of its turns and the token that ends them; not what is only `Example.context`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from punie.models.mlx.chat_format import ChatFormat, ChatMessage, Prompt, ToolSpecification
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
    each as the model would see it when it answers.

    Raises:
        TrainingError: the template does not let what it prompts with stand in what it renders.
    """
    messages = example.chat()
    if prefix.instructions:
        messages.insert(0, {"role": "system", "content": prefix.instructions})
    first_learned = example.context + bool(prefix.instructions)
    tools = tool_specifications(prefix)
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

    An answer without a thought, of a model that is otherwise asked to think, is asked for with
    thinking switched off.

    Raises:
        TrainingError: the template does not let what it prompts with stand in what it renders.
    """
    prompt = chat_format.encode(messages[:-1], tools)
    if not _begins(ids, prompt.tokens) and not messages[-1].get("reasoning_content"):
        prompt = chat_format.encode(messages[:-1], tools, thinking=False)
    if not _begins(ids, prompt.tokens):
        raise TrainingError(
            "The model's chat template renders an answer in another way than it asks for it, "
            "so training would teach what is never served; `punie gate zero` tells more."
        )
    return prompt


def _begins(ids: Sequence[int], start: Sequence[int]) -> bool:
    return list(ids[: len(start)]) == list(start)


def tool_specifications(prefix: PromptPrefix) -> list[ToolSpecification]:
    """Return a prefix's tools as the renderer takes them."""
    return [_specification(tool["function"]) for tool in prefix.tools]


def _specification(function: Any) -> ToolSpecification:
    return ToolSpecification(
        function["name"], function.get("description", ""), function.get("parameters", {})
    )


def _end_of_turn(ids: Sequence[int], start: int, chat_format: ChatFormat) -> int:
    """Return where the turn that starts at `start` has ended, its end token included."""
    for place in range(len(ids) - 1, start - 1, -1):
        if ids[place] in chat_format.stop_ids:
            return place + 1
    return len(ids)
