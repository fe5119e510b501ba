"""How good a draft model is: how many of the tokens that it proposes its target accepts.

Measured with the engine's own speculative decoding, greedily and with drafts of one length, so that
the figures do not depend on how fast the machine is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import anyio
from pydantic import BaseModel, ConfigDict, Field

from punie.evaluation.intervals import rate
from punie.models.architecture import context_window
from punie.models.catalog import read_json_object
from punie.models.mlx.chat.markup import CLOSE_CALL, CLOSE_THOUGHT, OPEN_CALL, OPEN_THOUGHT
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.decoding.sampling import Sampling
from punie.models.mlx.decoding.speculation import LONGEST_DRAFT, Draft, DraftControl
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import Decoded, EngineError, GenerateRequest
from punie.models.tokens import read_token_ids
from punie.training.data.dataset import Dataset, open_dataset
from punie.training.data.sequences import tool_specifications
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

_TWO_SIDED_95 = 1.959963984540054
_PARTS = ("test", "valid", "all", "train")


class AcceptanceOptions(BaseModel):
    """What is measured of a draft model.

    Attributes:
        length: tokens of each draft.
        examples: how many conversations; the first of the part.
        tokens: longest answer.
        part: part of the dataset; if left out, the best that there is of test, valid, all, train.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    length: int = Field(4, ge=1, le=LONGEST_DRAFT)
    examples: int = Field(50, ge=1)
    tokens: int = Field(400, ge=2)
    part: str = ""


class Share(BaseModel):
    """A share of cases with its 95 % interval (Wilson)."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float
    hits: int
    of: int

    @classmethod
    def among(cls, hits: int, of: int) -> "Share":
        """Return the share of `hits` among `of` cases."""
        found = rate(hits, of)
        return cls(value=found.value, low=found.low, high=found.high, hits=hits, of=of)

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%}, {self.hits:,} of {self.of:,})"


class Accepted(BaseModel):
    """What became of some drafts.

    Attributes:
        tokens: share of the drafted tokens that the target accepted.
        positions: for the first, second... token of a draft, the share of drafts as long as that
            in which it was accepted, with all before it.
        mean: accepted tokens of a draft; a pass of the target writes one more.
        low, high: the 95 % interval of `mean`, for answers as the independent cases.
    """

    model_config = ConfigDict(frozen=True)

    tokens: Share
    positions: tuple[Share, ...]
    mean: float
    low: float
    high: float


class Acceptance(BaseModel):
    """How good a draft model is.

    Attributes:
        answers: how many answers the target wrote.
        written: tokens of them.
        length: tokens of a draft.
        overall: all drafts.
        kinds: the drafts that begin in a "call", in a "thought" or in "prose".
    """

    model_config = ConfigDict(frozen=True)

    answers: int
    written: int
    length: int
    overall: Accepted
    kinds: dict[str, Accepted]

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        rows = [
            f"{self.answers:,} answers of {self.written:,} tokens, drafts of {self.length} tokens"
        ]
        for name, found in {"all": self.overall, **self.kinds}.items():
            positions = " ".join(f"{each.value:.0%}" for each in found.positions)
            rows.append(
                f"  {name}: {found.tokens} accepted; {found.mean:.2f} ({found.low:.2f} to "
                f"{found.high:.2f}) a draft; by position {positions}"
            )
        return rows


@dataclass(frozen=True)
class Outcome:
    """One draft: which token of the answer it begins with, what was proposed and accepted."""

    start: int
    proposed: int
    accepted: int


@dataclass
class _Watch(DraftControl):
    """Asks for drafts of one length, whether they pay or not, and notes what becomes of them."""

    length: int = 1
    checks: list[tuple[int, int]] = field(default_factory=list)

    def limit(self, evidence: int) -> int:
        return self.length

    def record(self, draft: Draft, accepted: int, seconds: float) -> None:
        self.checks.append((len(draft.tokens), accepted))

    def outcomes(self) -> list[Outcome]:
        """Return what was noted of one answer, and forget it."""
        found: list[Outcome] = []
        start = 0
        for proposed, accepted in self.checks:
            # The target's own token comes first, then the draft.
            found.append(Outcome(start + 1, proposed, accepted))
            start += 1 + accepted
        self.checks.clear()
        return found


def acceptance(
    options: AcceptanceOptions,
    target: Path,
    draft: Path,
    dataset: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Acceptance:
    """Let a target answer every prompt of some conversations with a draft model, and count.

    Raises:
        TrainingError: the draft model cannot draft for this target, or no prompt fits.
        ModelUnavailable: the target cannot be loaded.
        Interrupted: `stopped()`.
    """
    check_draft(target, draft)
    chat_format = ChatFormat.load(target)
    window = context_window(read_json_object(target / "config.json"))
    prompts = list(_prompts(options, open_dataset(dataset), chat_format, window))
    if not prompts:
        raise TrainingError(
            f"No prompt of {dataset} leaves room for an answer of {options.tokens} tokens in the "
            "target's window; ask for shorter answers."
        )
    answers = anyio.run(
        _answers, options, target, draft, prompts, chat_format.stop_ids, report, stopped
    )
    by_kind: dict[str, list[list[Outcome]]] = {}
    for answer in answers:
        places = token_kinds(chat_format, answer.tokens, in_thought=answer.in_thought)
        here: dict[str, list[Outcome]] = {}
        for outcome in answer.outcomes:
            here.setdefault(places[outcome.start], []).append(outcome)
        for kind, found in here.items():
            by_kind.setdefault(kind, []).append(found)
    return Acceptance(
        answers=len(answers),
        written=sum(len(answer.tokens) for answer in answers),
        length=options.length,
        overall=summary([answer.outcomes for answer in answers]),
        kinds={kind: summary(found) for kind, found in sorted(by_kind.items())},
    )


def check_draft(target: Path, draft: Path) -> None:
    """Raise `TrainingError` unless the draft model has exactly the target's tokens."""
    if read_token_ids(target) != read_token_ids(draft):
        raise TrainingError(
            f"The model in {draft} has other tokens than {target}, so it cannot draft for it; "
            "choose one of the same family, or train one with the target's tokenizer."
        )


def summary(answers: Sequence[Sequence[Outcome]]) -> Accepted:
    """Sum up drafts, given answer by answer."""
    drafts = [outcome for outcomes in answers for outcome in outcomes]
    longest = max((outcome.proposed for outcome in drafts), default=0)
    positions = []
    for place in range(1, longest + 1):
        tried = [outcome for outcome in drafts if outcome.proposed >= place]
        positions.append(Share.among(sum(o.accepted >= place for o in tried), len(tried)))
    accepted = sum(outcome.accepted for outcome in drafts)
    mean = accepted / len(drafts) if drafts else 0.0
    # The variance of a ratio of sums over answers, whose drafts are alike.
    counted = [outcomes for outcomes in answers if outcomes]
    squares = sum(
        (sum(o.accepted for o in outcomes) - mean * len(outcomes)) ** 2 for outcomes in counted
    )
    half = math.inf
    if len(counted) > 1:
        half = _TWO_SIDED_95 * math.sqrt(squares * len(counted) / (len(counted) - 1)) / len(drafts)
    return Accepted(
        tokens=Share.among(accepted, sum(outcome.proposed for outcome in drafts)),
        positions=tuple(positions),
        mean=mean,
        low=max(0.0, mean - half),
        high=min(float(longest), mean + half),
    )


def token_kinds(
    chat_format: ChatFormat, tokens: Sequence[int], *, in_thought: bool = False
) -> list[str]:
    """Return what kind of text each token of an answer is in: "call", "thought" or "prose".

    There is one more than there are tokens: that of what follows. `in_thought` tells that the
    prompt has opened a thought.
    """
    control = chat_format.vocabulary.control
    opens = {control.get(OPEN_CALL): "call", control.get(OPEN_THOUGHT): "thought"}
    closes = {control.get(CLOSE_CALL), control.get(CLOSE_THOUGHT)}
    found: list[str] = []
    kind = "thought" if in_thought else "prose"
    for token in tokens:
        kind = opens.get(token, kind)
        found.append(kind)
        if token in closes:
            kind = "prose"
    return [*found, kind]


@dataclass(frozen=True)
class _Prompt:
    tokens: tuple[int, ...]
    in_thought: bool


@dataclass(frozen=True)
class _Answer:
    tokens: list[int]
    outcomes: list[Outcome]
    in_thought: bool


def _prompts(
    options: AcceptanceOptions, data: Dataset, chat_format: ChatFormat, window: int
) -> Iterator[_Prompt]:
    """Yield what the target answers: every turn of a conversation after its true history."""
    part = options.part or next((name for name in _PARTS if name in data.manifest.parts), "all")
    for example in islice(data.examples(part), options.examples):
        prefix = data.prefix(example)
        messages = example.chat()
        if prefix.instructions:
            messages.insert(0, {"role": "system", "content": prefix.instructions})
        first = example.context + bool(prefix.instructions)
        for place, message in enumerate(messages):
            if message["role"] == "assistant" and place >= first:
                prompt = chat_format.encode(messages[:place], tool_specifications(prefix))
                if len(prompt.tokens) + options.tokens <= window:
                    yield _Prompt(tuple(prompt.tokens), prompt.in_thought)


async def _answers(
    options: AcceptanceOptions,
    target: Path,
    draft: Path,
    prompts: Sequence[_Prompt],
    stop_ids: frozenset[int],
    report: Reporter,
    stopped: Stopped,
) -> list[_Answer]:
    watch = _Watch(length=options.length)
    engine = Engine(draft_control=watch)
    answers: list[_Answer] = []
    try:
        await engine.load(target, draft)
        if engine.draft_trouble is not None:
            raise TrainingError(engine.draft_trouble)
        # One after the other: responses that are written side by side are not drafted for.
        for number, prompt in enumerate(prompts, 1):
            if stopped():
                raise Interrupted("Stopped; nothing was measured to its end.")
            request = GenerateRequest(
                prompt.tokens, options.tokens, Sampling(temperature=0.0), stop_ids
            )
            tokens: list[int] = []
            async with engine.generate(request) as generation:
                async for event in generation:
                    if isinstance(event, Decoded):
                        tokens.extend(event.tokens)
            answers.append(_Answer(tokens, watch.outcomes(), prompt.in_thought))
            report(Progress("answering", number, len(prompts), "prompts"))
    except EngineError as error:
        raise TrainingError(str(error)) from error
    finally:
        await engine.aclose()
    return answers
