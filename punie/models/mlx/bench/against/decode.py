"""Speed of writing, from the first piece of a text to its last one.

Tokens are those of our tokenizer on both sides, so that also a server that reports none, or
counts the end of the turn, is measured as ours is. Punie makes no drafts here.
"""

from pydantic_ai.messages import ModelRequest, UserPromptPart

from punie.models.mlx.bench.against.target import Pair
from punie.models.mlx.bench.against.turns import in_turn, sides_of
from punie.models.mlx.bench.decode import QUESTION
from punie.models.mlx.bench.rows import BenchError, Finding, ratio
from punie.models.mlx.bench.sides import Heard, Question, Side, listen

_RUNS = 5
_TOKENS = 200
_FEWEST = 24


async def measure(pair: Pair) -> list[Finding]:
    """Let both sides write the same text."""
    prompt = [ModelRequest(parts=[UserPromptPart(QUESTION)])]
    question = Question(prompt, _TOKENS, owner="bench-decode", speculate=False)

    async def rate(side: Side) -> tuple[float, int]:
        return _rate(pair, await listen(side, question))

    rates = []
    for run in range(_RUNS + 1):
        pair.subject.say(f"run {run + 1} of {_RUNS + 1}")
        (ours, own), (theirs, other) = await in_turn(pair, run, rate)
        if run:  # the first one warms both up
            rates.append((ours, theirs))
    how = f"after the first of {own} and {other} tokens, counted by our tokenizer"
    return [ratio("speed of writing", sides_of(rates, "tokens/s"), pair.peer.title, how)]


def _rate(pair: Pair, heard: Heard) -> tuple[float, int]:
    """Return tokens per second after the first piece, and how many tokens there are in all."""
    count = pair.subject.model.chat_format.vocabulary.encode_text
    written = [(at, piece) for at, piece in heard.pieces if piece.kind != "call"]
    after = len(count("".join(piece.text for _, piece in written[1:])))
    if after < _FEWEST:
        raise BenchError(f"one side wrote only {after} tokens after the first, too few to tell")
    whole = len(count("".join(piece.text for _, piece in written)))
    return after / (written[-1][0] - written[0][0]), whole
