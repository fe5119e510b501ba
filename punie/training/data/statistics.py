"""What a dataset holds, in counts: tasks, tools, direct answers, duplicates, lengths."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import Dataset
from punie.training.data.example import Example
from punie.training.data.sequences import training_sequences
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

_REPORT_EVERY = 200


class Lengths(BaseModel):
    """How some figures are spread: least, middle, 90th and 99th percentile, most, sum."""

    model_config = ConfigDict(frozen=True)

    least: int = 0
    median: int = 0
    p90: int = 0
    p99: int = 0
    most: int = 0
    total: int = 0


class PartStatistics(BaseModel):
    """What a part holds.

    Attributes:
        examples: how many conversations.
        direct: how many of them are answered without a tool, as far as they are learned.
        executed: in how many every tool result comes from a tool that ran.
        duplicates: how many say, word for word, what an earlier example of the dataset says.
        tasks, sources, checked: examples by these; "" where an example does not tell.
        tools: calls that are learned, by tool.
        messages: messages of each example.
        answers: turns of the assistant of each example.
        characters: text of each example, in characters.
        tokens: tokens of each training sequence; None if no model was given.
        learned: how many of those each sequence teaches.
    """

    model_config = ConfigDict(frozen=True)

    examples: int
    direct: int
    executed: int
    duplicates: int
    tasks: dict[str, int]
    sources: dict[str, int]
    checked: dict[str, int]
    tools: dict[str, int]
    messages: Lengths
    answers: Lengths
    characters: Lengths
    tokens: Lengths | None = None
    learned: Lengths | None = None

    @property
    def direct_share(self) -> float:
        """The share of examples that call no tool, 0 if there are no examples."""
        return self.direct / self.examples if self.examples else 0.0


@dataclass
class _Counts:
    examples: int = 0
    direct: int = 0
    executed: int = 0
    duplicates: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    messages: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    learned: list[int] = field(default_factory=list)

    def add(self, example: Example, *, seen: bool) -> None:
        calls = example.learned_calls
        self.examples += 1
        self.direct += not calls
        self.executed += example.executed
        self.duplicates += seen
        self.tasks[example.task] += 1
        self.sources[example.source] += 1
        self.checked[example.checked] += 1
        self.tools.update(call.name for call in calls)
        self.messages.append(len(example.messages))
        self.answers.append(sum(message.role == "assistant" for message in example.messages))
        self.characters.append(sum(len(message.content) for message in example.messages))


def dataset_statistics(
    dataset: Dataset,
    chat_format: ChatFormat | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> dict[str, PartStatistics]:
    """Count what each part of a dataset holds; with a model's format also its tokens.

    Raises:
        TrainingError: the dataset cannot be read, or the model's template refuses an example.
        Interrupted: somebody asked to stop.
    """
    seen: set[str] = set()
    found: dict[str, PartStatistics] = {}
    total = sum(part.examples for part in dataset.manifest.parts.values())
    done = 0
    for name in dataset.manifest.parts:
        counts = _Counts()
        for example in dataset.examples(name):
            counts.add(example, seen=example.id in seen)
            seen.add(example.id)
            if chat_format is not None:
                for sequence in training_sequences(chat_format, example, dataset.prefix(example)):
                    counts.tokens.append(len(sequence.ids))
                    counts.learned.append(sum(sequence.learned))
            done += 1
            if done % _REPORT_EVERY == 0:
                report(Progress("counting", done, total, "examples"))
                if stopped():
                    raise Interrupted("Stopped; nothing was changed.")
        found[name] = _summed(counts, tokens=chat_format is not None)
    report(Progress("counting", done, done, "examples"))
    return found


def _summed(counts: _Counts, *, tokens: bool) -> PartStatistics:
    return PartStatistics(
        examples=counts.examples,
        direct=counts.direct,
        executed=counts.executed,
        duplicates=counts.duplicates,
        tasks=_by_count(counts.tasks),
        sources=_by_count(counts.sources),
        checked=_by_count(counts.checked),
        tools=_by_count(counts.tools),
        messages=_lengths(counts.messages),
        answers=_lengths(counts.answers),
        characters=_lengths(counts.characters),
        tokens=_lengths(counts.tokens) if tokens else None,
        learned=_lengths(counts.learned) if tokens else None,
    )


def _by_count(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _lengths(figures: Sequence[int]) -> Lengths:
    if not figures:
        return Lengths()
    least, median, p90, p99, most = np.percentile(figures, [0, 50, 90, 99, 100], method="lower")
    return Lengths(
        least=int(least),
        median=int(median),
        p90=int(p90),
        p99=int(p99),
        most=int(most),
        total=sum(figures),
    )
