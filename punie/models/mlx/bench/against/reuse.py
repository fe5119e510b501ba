"""A growing conversation with tools: the first token when most of the prompt is known.

What is said in it is given, so that it is the same with every server. Then the model speaks for
itself, and both sides get every request.
"""

import secrets

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from punie.models.mlx.bench.against.own_words import own_words
from punie.models.mlx.bench.against.target import Pair
from punie.models.mlx.bench.against.turns import hear_both, sides_of
from punie.models.mlx.bench.rows import BenchError, Finding, Skipped, ratio
from punie.models.mlx.bench.sides import Heard, Question

_TURNS = 10
_ROOM = 8
_OWNER = "bench-reuse-given"
_FIRST = "first token in a conversation"
_READ = "tokens read in it"


async def measure(pair: Pair) -> list[Finding]:
    """Hold the given conversation, then the model's own; either may be impossible by itself."""
    findings: list[Finding] = []
    for name, hold in ((_FIRST, _given), ("the model's own conversation", own_words)):
        try:
            findings += await hold(pair)
        except BenchError as error:
            findings.append(Skipped(name, str(error)))
    return findings


async def _given(pair: Pair) -> list[Finding]:
    answers = await converse(pair)
    if len(answers) < 2:
        return [Skipped(_FIRST, "the model's window is too short for a conversation")]
    # With the first request everything is new.
    known = answers[1:]
    whose = pair.peer.title
    times = sides_of([(1e3 * a.first, 1e3 * b.first) for a, b in known], "ms")
    prompts = [ours.counts.prompt for ours, _ in known if ours.counts is not None]
    how = f"in a growing one with tools, up to {max(prompts):,} tokens"
    first = ratio(_FIRST, times, whose, how)
    read = [(_read(ours), _read(theirs)) for ours, theirs in known]
    if any(theirs is None for _, theirs in read):
        return [first, Skipped(_READ, f"{whose} does not report the tokens that it knew")]
    ours, theirs = (sum(side or 0 for side in column) for column in zip(*read, strict=True))
    totals = sides_of([(ours, max(theirs, 1))], "tokens")
    return [first, ratio(_READ, totals, whose, f"in {len(known)} requests")]


async def converse(pair: Pair, turns: int = _TURNS) -> list[tuple[Heard, Heard]]:
    """Ask both sides for one token after every message that a model would answer."""
    subject = pair.subject
    window = subject.model.profile.get("context_window") or 0
    messages: list[ModelMessage] = []
    answers: list[tuple[Heard, Heard]] = []

    async def both() -> bool:
        tokens = len(await subject.model.prompt_tokens(messages, subject.parameters))
        if tokens + _ROOM > window:
            return False
        question = Question(tuple(messages), 1, subject.parameters, _OWNER)
        answers.append(await hear_both(pair, len(answers), question))
        return True

    # No server knows it from an earlier run.
    name = secrets.token_hex(4)
    for turn in range(turns):
        subject.say(f"given conversation, turn {turn + 1} of {turns}")
        path = f"{name}/part_{turn}.py"
        messages.append(ModelRequest(parts=[UserPromptPart(f"what is in {path}?")]))
        if not await both():
            break
        call = ToolCallPart("read_file", {"path": path}, f"call_{turn}")
        text = "\n".join(f"{line}: value_{line} = {turn * line}" for line in range(8))
        result = ToolReturnPart("read_file", text, f"call_{turn}")
        messages += [ModelResponse(parts=[call]), ModelRequest(parts=[result])]
        if not await both():
            break
        messages.append(ModelResponse(parts=[TextPart(f"It sets eight values, part {turn}.")]))
    return answers


def _read(heard: Heard) -> int | None:
    return None if heard.counts is None else heard.counts.read
