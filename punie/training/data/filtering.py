"""Leaving out examples that nobody should learn from; each is told with the reason."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import (
    Dataset,
    Manifest,
    open_dataset,
    read_lines,
    write_files,
)
from punie.training.data.example import Example
from punie.training.data.leakage import NEAR, numbered_examples
from punie.training.data.likeness import NearDuplicates, shingles_of, words_of
from punie.training.data.python_code import OLD_IDIOMS, judge_code, python_code
from punie.training.data.scripts import LATIN, known_scripts, script_shares
from punie.training.data.sequences import training_sequences
from punie.training.errors import TrainingError
from punie.training.output import output_folder
from punie.training.progress import Reporter, Stopped, never, quiet
from punie.training.provenance import format_hash

DROPPED = "dropped.jsonl"
"""The file of a filtered dataset that lists what was left out, and why."""

_BATCH = 500

Reason = Literal[
    "language",
    "few messages",
    "short answer",
    "unanswered",
    "unexecuted",
    "unchecked",
    "task",
    "python",
    "old idiom",
    "too long",
    "not rendered",
    "duplicate",
    "near duplicate",
]
Share = Annotated[float, Field(ge=0, le=1)]


class FilterOptions(BaseModel):
    """What is left out; what is not said is not looked at, but for exact duplicates.

    Attributes:
        most_non_latin: the share of its letters that an example may have in other scripts.
        scripts: the share that it may have of single ones, by name, such as CJK or CYRILLIC.
        least_messages: how many messages it must have.
        least_characters: how long its last answer must be.
        answered: its last message is an answer, not a call without its result.
        executed: its calls were executed.
        checked: its outcome is known to be right.
        tasks: only these kinds of task.
        python: the version that must be able to read the Python that the assistant writes.
        idioms: with `python`, the rules of ruff for what is too old to be learned.
        longest: tokens that it may have for the model that is given.
        duplicates: whether what says the same as an earlier one is left out: "exact" also with the
            same prefix and context, "near" from the likeness `near` on, or "keep".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    most_non_latin: Share | None = None
    scripts: dict[str, Share] = Field(default_factory=dict)
    least_messages: int = Field(default=0, ge=0)
    least_characters: int = Field(default=0, ge=0)
    answered: bool = False
    executed: bool = False
    checked: bool = False
    tasks: tuple[str, ...] = ()
    python: str | None = Field(default=None, pattern=r"^3\.([7-9]|1[0-4])$")
    idioms: tuple[str, ...] = OLD_IDIOMS
    longest: int | None = Field(default=None, ge=1)
    duplicates: Literal["keep", "exact", "near"] = "exact"
    near: float = Field(default=NEAR, gt=0, le=1)

    @field_validator("scripts")
    @classmethod
    def _known(cls, scripts: dict[str, float]) -> dict[str, float]:
        if unknown := set(scripts) - set(known_scripts()):
            raise ValueError(f"there is no script {min(unknown)}; {', '.join(known_scripts())}")
        return scripts


@dataclass(frozen=True)
class Dropped:
    """An example that was left out; `line` counts from 1 in the dataset that was filtered."""

    part: str
    line: int
    id: str
    reason: Reason
    detail: str


def filter_dataset(
    options: FilterOptions,
    dataset: Path,
    out: Path,
    model: Path | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Dataset:
    """Write the examples of a dataset that pass, in their order, and what was left out.

    With a model, what its template cannot render as it asks for it is left out too.

    Raises:
        TrainingError: it cannot be read or written, no model is given where tokens count, or
            nothing would be left of a part.
        Interrupted: somebody asked to stop; nothing was written.
    """
    source = open_dataset(dataset)
    if options.longest is not None and model is None:
        raise TrainingError("Tokens are those of a model; name the model that is to learn.")
    chat_format = None
    parents = {"dataset": source.hash}
    if model is not None:
        chat_format = ChatFormat.load(model)
        parents["format"] = format_hash(model)
    dropped = list(_judge(options, source, chat_format, report, stopped))
    gone = {(each.part, each.line) for each in dropped}
    _refuse_nothing(source, dropped)
    manifest = Manifest(
        made_by="filter",
        recipe=options.model_dump(mode="json"),
        parents=parents,
        prefixes=source.manifest.prefixes,
    )
    lines = [json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in dropped]
    parts = {part: _kept(source, part, gone) for part in source.manifest.parts}
    with output_folder(out) as folder:
        (folder / DROPPED).write_text("".join(lines), encoding="utf-8")
        whole = write_files(folder, manifest, parts)
    return Dataset(out, whole)


def dropped_of(dataset: Dataset) -> list[Dropped]:
    """Return what was left out of a filtered dataset.

    Raises:
        TrainingError: it was not filtered, or its list cannot be read.
    """
    file = dataset.folder / DROPPED
    found = []
    for number, line in read_lines(file):
        try:
            found.append(Dropped(**json.loads(line)))
        except (ValueError, TypeError):
            raise TrainingError(f"{file}, line {number} does not tell what was dropped.") from None
    return found


def _kept(source: Dataset, part: str, gone: set[tuple[str, int]]) -> Iterator[Example]:
    for line, example in enumerate(source.examples(part), 1):
        if (part, line) not in gone:
            yield example


def _refuse_nothing(source: Dataset, dropped: Sequence[Dropped]) -> None:
    for name, part in source.manifest.parts.items():
        reasons = [each.reason for each in dropped if each.part == name]
        if part.examples and len(reasons) == part.examples:
            usual = max(sorted(set(reasons)), key=reasons.count)
            raise TrainingError(
                f"Nothing would be left of part {name} of {source.folder}, most often because of "
                f"{usual!r}; ask for less."
            )


def _judge(
    options: FilterOptions,
    source: Dataset,
    chat_format: ChatFormat | None,
    report: Reporter,
    stopped: Stopped,
) -> Iterator[Dropped]:
    """Yield what is left out, in order."""
    known = _Known(options)
    every = numbered_examples(source, "filtering", report, stopped)
    while batch := list(islice(every, _BATCH)):
        faults = _code_faults(options, [example for _, _, example in batch])
        for (part, line, example), code in zip(batch, faults, strict=True):
            found = _fault(options, example) or code
            if found is None and chat_format is not None:
                found = _length_fault(options, chat_format, source, example)
            found = found or known.fault(f"{part}.jsonl line {line}", example)
            if found is not None:
                yield Dropped(part, line, example.id, *found)


def _fault(options: FilterOptions, example: Example) -> tuple[Reason, str] | None:
    """Say why an example is left out, as far as it can be told from it alone."""
    last = example.messages[-1]
    if (found := _script_fault(options, example)) is not None:
        return found
    if len(example.messages) < options.least_messages:
        return "few messages", f"{len(example.messages)} messages"
    if options.answered and (last.role != "assistant" or last.tool_calls):
        return "unanswered", f"the last message is of the {last.role}"
    if last.role == "assistant" and len(last.content.strip()) < options.least_characters:
        return "short answer", f"{len(last.content.strip())} characters"
    if options.executed and example.calls and not example.executed:
        return "unexecuted", "no tool returned its results"
    if options.checked and not example.checked:
        return "unchecked", "nobody looked at the outcome"
    if options.tasks and example.task not in options.tasks:
        return "task", example.task
    return None


def _script_fault(options: FilterOptions, example: Example) -> tuple[Reason, str] | None:
    if options.most_non_latin is None and not options.scripts:
        return None
    shares = script_shares("".join(_texts(example)))
    if options.most_non_latin is not None and shares:
        other = 1 - shares.get(LATIN, 0.0)
        if other > options.most_non_latin:
            return "language", f"{other:.0%} of its letters are not Latin"
    for name, most in sorted(options.scripts.items()):
        if shares.get(name, 0.0) > most:
            return "language", f"{shares[name]:.0%} of its letters are {name}"
    return None


def _texts(example: Example) -> Iterator[str]:
    for message in example.messages:
        yield message.content
        yield message.reasoning_content or ""
        for call in message.tool_calls:
            yield from (text for text in call.function.arguments.values() if isinstance(text, str))


def _code_faults(
    options: FilterOptions, examples: Sequence[Example]
) -> list[tuple[Reason, str] | None]:
    if options.python is None:
        return [None] * len(examples)
    pieces = [(number, code) for number, each in enumerate(examples) for code in python_code(each)]
    verdicts = judge_code([code for _, code in pieces], options.python, options.idioms)
    found: list[tuple[Reason, str] | None] = [None] * len(examples)
    reasons: Mapping[str, Reason] = {"syntax": "python", "idiom": "old idiom"}
    for (number, _), verdict in zip(pieces, verdicts, strict=True):
        if verdict is not None and found[number] is None:
            found[number] = reasons[verdict.kind], verdict.what
    return found


def _length_fault(
    options: FilterOptions, chat_format: ChatFormat, source: Dataset, example: Example
) -> tuple[Reason, str] | None:
    try:
        sequences = training_sequences(chat_format, example, source.prefix(example))
    except TrainingError as error:
        return "not rendered", str(error)
    longest = max((len(sequence.ids) for sequence in sequences), default=0)
    if options.longest is not None and longest > options.longest:
        return "too long", f"{longest} tokens"
    return None


class _Known:
    """What was kept so far, to know what says the same."""

    def __init__(self, options: FilterOptions) -> None:
        self._options = options
        self._exact: dict[tuple[str, str, int], str] = {}
        self._near = NearDuplicates(options.near)
        self._places: list[str] = []

    def fault(self, place: str, example: Example) -> tuple[Reason, str] | None:
        """Say what kept example this one repeats; if none, it is kept."""
        if self._options.duplicates == "keep":
            return None
        first = self._exact.setdefault((example.id, example.prefix, example.context), place)
        if first != place:
            return "duplicate", f"of {first}"
        if self._options.duplicates == "near":
            shingles = shingles_of(words_of(example))
            for like in self._near.like(shingles):
                return "near duplicate", f"of {self._places[like]}"
            self._near.add(shingles)
            self._places.append(place)
        return None


def counted(dropped: Iterable[Dropped]) -> dict[str, int]:
    """Return how many were left out for each reason, most first."""
    counts: dict[str, int] = {}
    for each in dropped:
        counts[each.reason] = counts.get(each.reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
