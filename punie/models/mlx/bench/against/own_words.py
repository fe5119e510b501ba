"""A conversation in which the model speaks for itself, so that each side knows what it wrote."""

from contextlib import aclosing
from dataclasses import dataclass, field

from pydantic_ai.messages import ModelMessage
from pydantic_ai.settings import ModelSettings

from punie.models.mlx.bench.against.target import Pair
from punie.models.mlx.bench.against.turns import sides_of
from punie.models.mlx.bench.answers import Answer
from punie.models.mlx.bench.rows import BenchError, Finding, Limit, Skipped, ratio
from punie.models.mlx.bench.sides import Heard, Question, calls_of, listen
from punie.models.mlx.bench.work import FILES, QUESTIONS, turn
from punie.models.streaming import ModelUse

TURNS = 20
_ANSWER_TOKENS = 96
_READ = "tokens read"


@dataclass
class _Requests:
    """What both sides read and wrote, request by request."""

    ours: list[Answer] = field(default_factory=list)
    theirs: list[Heard] = field(default_factory=list)
    alike: int = 0
    unlike_prompts: int = 0
    turns: int = 0

    def add(self, ours: Answer, theirs: Heard) -> None:
        """Take the two answers to one request."""
        self.ours.append(ours)
        self.theirs.append(theirs)
        same_text = (ours.response.text or "").strip() == theirs.text.strip()
        self.alike += same_text and calls_of(ours.response) == theirs.calls
        self.unlike_prompts += theirs.counts is not None and ours.end.prompt != theirs.counts.prompt

    def rows(self, whose: str, limit: Limit | None) -> list[Finding]:
        """Compare the totals."""
        if not self.ours:
            raise BenchError("the model's window is too short for a conversation")
        where = f"in {len(self.ours)} requests of {self.turns} turns"
        unlike = f", {self.unlike_prompts} prompts unlike" if self.unlike_prompts else ""
        written = sum(len(answer.tokens) for answer in self.ours)
        seconds = sum(a.last for a in self.ours), sum(a.seconds for a in self.theirs)
        how = f"{where}, {written:,} tokens written by Punie, {self.alike} answers alike{unlike}"
        return [
            self._tokens_read(whose, where, limit),
            ratio("time", sides_of([seconds], "s"), whose, how, limit),
        ]

    def _tokens_read(self, whose: str, where: str, limit: Limit | None) -> Finding:
        read = sum(answer.end.prefilled for answer in self.ours)
        served = [answer.counts and answer.counts.read for answer in self.theirs]
        if any(tokens is None for tokens in served):
            return Skipped(_READ, f"{whose} does not report the tokens that it knew")
        theirs = sum(tokens or 0 for tokens in served)
        totals = sides_of([(read, max(theirs, 1))], "tokens")
        return ratio(_READ, totals, whose, where, limit)


async def own_words(pair: Pair, limit: Limit | None = None) -> list[Finding]:
    """Let the model work on questions with the agent's tools; compare tokens read, and time."""
    subject = pair.subject
    model = subject.model.used_by(ModelUse("bench-reuse-own"))
    settings = ModelSettings(max_tokens=_ANSWER_TOKENS, temperature=0.0)
    if False in model.chat_format.traits.thinking_levels:
        settings["thinking"] = False
    messages: list[ModelMessage] = []
    requests = _Requests()
    async with subject.project(FILES) as run:
        for number in range(TURNS):
            subject.say(f"turn {number + 1} of {TURNS}, beside {pair.peer.title}")
            prompt = QUESTIONS[number % len(QUESTIONS)]
            before = len(requests.ours)
            steps = turn(model, messages, prompt, settings, subject.parameters, run)
            async with aclosing(steps):
                async for step in steps:
                    question = Question(step.messages, _ANSWER_TOKENS, subject.parameters)
                    requests.add(step.answer, await listen(pair.theirs, question))
            if len(requests.ours) == before:
                break  # the window is full
            requests.turns += 1
    return requests.rows(pair.peer.title, limit)
