"""Whether both sides run the same model: short answers to the same questions, greedily."""

from dataclasses import replace

from pydantic_ai.messages import ModelRequest, UserPromptPart

from punie.models.mlx.bench.against.target import Pair
from punie.models.mlx.bench.rows import BenchError, Finding, Row, Skipped
from punie.models.mlx.bench.sides import Heard, Question, listen
from punie.models.mlx.bench.work import EDITS, QUESTIONS

_NAME = "answered alike"
_PROMPTS = (*QUESTIONS[:4], *EDITS[:2])
_TOKENS = 48
OTHER_MODEL = "not the same model or template: ratios tell nothing about the engine"
_ROUNDING = "the weights are the same, so rounding decides between words that are as likely"


async def measure(pair: Pair) -> list[Finding]:
    """Ask both sides with the agent's tools; where one refuses these, without."""
    try:
        return [await _alike(pair, with_tools=True)]
    except BenchError as error:
        without = await _alike(pair, with_tools=False)
        return [Skipped(f"{_NAME}, with tools", str(error)), without]


async def _alike(pair: Pair, *, with_tools: bool) -> Row:
    alike = unlike_prompts = 0
    for number, text in enumerate(_PROMPTS):
        pair.subject.say(f"prompt {number + 1} of {len(_PROMPTS)}")
        question = Question(
            [ModelRequest(parts=[UserPromptPart(text)])], _TOKENS, owner=f"bench-alike-{number}"
        )
        if with_tools:
            question = replace(question, parameters=pair.subject.parameters)
        ours, theirs = await listen(pair.ours, question), await listen(pair.theirs, question)
        alike += are_alike(ours, theirs)
        unlike_prompts += are_prompts_unlike(ours, theirs)
    how = f"of {len(_PROMPTS)} prompts {'with' if with_tools else 'without'} tools, greedily"
    if unlike_prompts:
        how += f", {unlike_prompts} of other length there"
    if alike < len(_PROMPTS):
        how += f"; {OTHER_MODEL if pair.peer.pid is None else _ROUNDING}"
    return Row(_NAME, 100 * alike / len(_PROMPTS), "%", how)


def are_alike(ours: Heard, theirs: Heard) -> bool:
    """Tell whether two answers say and call the same."""
    return ours.text.strip() == theirs.text.strip() and ours.calls == theirs.calls


def are_prompts_unlike(ours: Heard, theirs: Heard) -> bool:
    """Tell whether two sides counted a prompt differently, as far as they report it."""
    if ours.counts is None or theirs.counts is None:
        return False
    return ours.counts.prompt != theirs.counts.prompt
