"""A dataset as the token ids that a model learns from, and the text that they stand for.

`rendered.json` names the tokenizer and the template that the ids were made with, so that ids of
another one are refused.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import RENDERED, Dataset, Part, in_words, open_dataset, read_lines
from punie.training.data.example import Example
from punie.training.data.sequences import TrainingSequence, training_sequences
from punie.training.errors import TrainingError
from punie.training.output import output_folder
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import format_hash

_REPORT_EVERY = 200


class RenderedManifest(BaseModel):
    """What `rendered.json` holds: from which dataset and for which model's format, which files."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    dataset: str
    model_format: str
    parts: dict[str, Part]


class _Line(BaseModel):
    """One sequence: the example it belongs to, its ids, and how long its runs are.

    `runs` are the lengths of what is read, learned, read, learned and so on, in turn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    ids: list[int]
    runs: list[int]


@dataclass(frozen=True)
class Rendered:
    """A rendered dataset whose ids are those of the model that it was opened for."""

    folder: Path
    manifest: RenderedManifest

    def sequences(self, part: str) -> Iterator[tuple[str, TrainingSequence]]:
        """Yield the id of each example with each of its sequences.

        Raises:
            TrainingError: there is no such part, or a line is not a sequence; names file and line.
        """
        if part not in self.manifest.parts:
            known = ", ".join(sorted(self.manifest.parts))
            raise TrainingError(f"{self.folder} has no part {part!r}; it has {known}.")
        file = self.folder / f"{part}.jsonl"
        for number, line in read_lines(file):
            try:
                found = _Line.model_validate_json(line)
                learned = [bool(n % 2) for n, run in enumerate(found.runs) for _ in range(run)]
                if len(learned) != len(found.ids):
                    raise ValueError(f"{len(found.ids)} ids and {len(learned)} marks")
            except ValueError as error:
                raise TrainingError(
                    f"{file}, line {number} is not a sequence ({in_words(error)})."
                ) from error
            yield found.id, TrainingSequence(found.ids, learned)


def render_dataset(
    dataset: Path, model: Path, out: Path, report: Reporter = quiet, stopped: Stopped = never
) -> Rendered:
    """Write the training sequences of all examples, part by part.

    Raises:
        TrainingError: the dataset cannot be read or rendered, or `out` cannot be written.
        Interrupted: somebody asked to stop; nothing was written.
    """
    source = open_dataset(dataset)
    chat_format = ChatFormat.load(model)
    parts: dict[str, Part] = {}
    with output_folder(out) as folder:
        for name in source.manifest.parts:
            digest, count = hashlib.sha256(), 0
            with (folder / f"{name}.jsonl").open("wb") as file:
                for line in _lines(source, name, chat_format, report, stopped):
                    file.write(line)
                    digest.update(line)
                    count += 1
            parts[name] = Part(examples=count, sha256=digest.hexdigest())
        manifest = RenderedManifest(
            dataset=source.hash, model_format=format_hash(model), parts=parts
        )
        (folder / RENDERED).write_text(manifest.model_dump_json(indent=2) + "\n")
    return Rendered(out, manifest)


def open_rendered(folder: Path, model: Path) -> Rendered:
    """Open a rendered dataset for a model.

    Raises:
        TrainingError: there is none, or it was rendered for another tokenizer or template.
    """
    file = folder / RENDERED
    try:
        manifest = RenderedManifest.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise TrainingError(f"There is no rendered dataset in {folder} (no {RENDERED}).") from None
    except (OSError, ValidationError) as error:
        raise TrainingError(f"{file} cannot be read ({in_words(error)}).") from error
    if manifest.model_format != format_hash(model):
        raise TrainingError(
            f"{folder} was rendered for a model with another tokenizer or chat template than "
            f"{model}; render the dataset again for this one."
        )
    return Rendered(folder, manifest)


def is_rendered(folder: Path) -> bool:
    """Tell whether a folder holds ids rather than conversations."""
    return (folder / RENDERED).is_file()


def pieces(chat_format: ChatFormat, sequence: TrainingSequence) -> list[tuple[str, bool]]:
    """Return the text of a sequence in runs, each with whether it is learned."""
    found: list[tuple[str, bool]] = []
    start = 0
    for length, learned in zip(_runs(sequence), _in_turn(), strict=False):
        if length:
            text = chat_format.vocabulary.text(sequence.ids[start : start + length])
            found.append((text, learned))
        start += length
    return found


def _in_turn() -> Iterator[bool]:
    while True:
        yield False
        yield True


def _runs(sequence: TrainingSequence) -> list[int]:
    """Return how many tokens are read, learned, read and so on."""
    runs, now = [0], False
    for learned in sequence.learned:
        if learned != now:
            runs.append(0)
            now = learned
        runs[-1] += 1
    return runs


def _lines(
    source: Dataset, part: str, chat_format: ChatFormat, report: Reporter, stopped: Stopped
) -> Iterator[bytes]:
    total = source.manifest.parts[part].examples
    for number, example in enumerate(source.examples(part), 1):
        for sequence in _sequences(source, part, number, example, chat_format):
            line = {"id": example.id, "ids": sequence.ids, "runs": _runs(sequence)}
            yield json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if number % _REPORT_EVERY == 0 or number == total:
            report(Progress(f"rendering {part}", number, total, "examples"))
            if stopped():
                raise Interrupted("Stopped; nothing was written.")


def _sequences(
    source: Dataset, part: str, number: int, example: Example, chat_format: ChatFormat
) -> list[TrainingSequence]:
    try:
        return training_sequences(chat_format, example, source.prefix(example))
    except TrainingError as error:
        raise TrainingError(f"{source.file(part)}, line {number}: {error}") from error
