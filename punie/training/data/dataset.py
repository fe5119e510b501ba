"""A dataset on disk: a folder with `dataset.json` and one JSON-lines file for each part.

`dataset.json` tells how the dataset came to be (its recipe and seed, and the hashes of what it was
made from), what its files must hash to, and the prompt prefixes that its examples go with.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from punie.training.data.example import Example, PromptPrefix
from punie.training.errors import TrainingError
from punie.training.hashing import value_hash
from punie.training.output import output_folder

FORMAT = 1
MANIFEST = "dataset.json"
RENDERED = "rendered.json"
"""What tells of a dataset's token ids; see `punie.training.data.rendering`."""
WHOLE = "all"
"""The name of the one part of a dataset that is not split yet."""


PartName = Annotated[str, Field(pattern=r"^\w[\w-]*$")]
"""A part's name is that of its file, so it leads nowhere else."""


class Part(BaseModel):
    """One file of a dataset: how many examples, and the SHA-256 of its bytes."""

    model_config = ConfigDict(frozen=True)

    examples: int
    sha256: str


class Manifest(BaseModel):
    """What `dataset.json` holds.

    Attributes:
        format: version of this layout.
        made_by: the command that wrote it, such as "generate" or "merge".
        recipe: the settings of that command, as plain data; with the seed it makes the same again.
        seed: where randomness began; None where there was none.
        parents: hashes of the datasets (and models) it was made from, by role.
        prefixes: prompt prefixes by id.
        parts: the files by the name of the part: "train", "valid", "test", or "all".
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    made_by: str
    recipe: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    parents: dict[str, str] = Field(default_factory=dict)
    prefixes: dict[str, PromptPrefix] = Field(default_factory=dict)
    parts: dict[PartName, Part] = Field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A dataset that can be read."""

    folder: Path
    manifest: Manifest

    @property
    def hash(self) -> str:
        """A hash of everything that training reads: examples and prefixes, not how they came."""
        parts = {name: part.sha256 for name, part in self.manifest.parts.items()}
        prefixes = {name: prefix.id for name, prefix in self.manifest.prefixes.items()}
        return value_hash([parts, prefixes])

    def file(self, part: str) -> Path:
        """Return the file of a part."""
        return self.folder / f"{part}.jsonl"

    def examples(self, part: str) -> Iterator[Example]:
        """Yield the examples of a part in order.

        Raises:
            TrainingError: there is no such part, or a line is not an example; names file and line.
        """
        self.check_part(part)
        yield from read_examples(self.file(part))

    def lines(self, part: str) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of a part as they are, numbered from 1.

        Raises:
            TrainingError: there is no such part, or its file cannot be read.
        """
        self.check_part(part)
        yield from read_lines(self.file(part))

    def check_part(self, part: str) -> None:
        """Raise `TrainingError` if there is no such part."""
        if part not in self.manifest.parts:
            known = ", ".join(sorted(self.manifest.parts))
            raise TrainingError(f"{self.folder} has no part {part!r}; it has {known}.")

    def prefix(self, example: Example) -> PromptPrefix:
        """Return the prefix of an example; an empty one where it names none.

        Raises:
            TrainingError: the dataset has no such prefix.
        """
        if not example.prefix:
            return PromptPrefix()
        try:
            return self.manifest.prefixes[example.prefix]
        except KeyError:
            raise TrainingError(
                f"{self.folder / MANIFEST} has no prompt prefix {example.prefix!r}, which an "
                "example names; make the dataset again."
            ) from None


def open_dataset(folder: Path) -> Dataset:
    """Read what a dataset is; its examples are read as they are asked for.

    Raises:
        TrainingError: there is none in `folder`, or its `dataset.json` cannot be read.
    """
    file = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / RENDERED).is_file():
            raise TrainingError(
                f"{folder} holds the token ids of a dataset, not its conversations; name the "
                "dataset that they were rendered of."
            ) from None
        raise TrainingError(
            f"There is no dataset in {folder} (no {MANIFEST}); name a folder that "
            "`punie dataset` wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read ({in_words(error)}).") from error
    if manifest.format != FORMAT:
        raise TrainingError(
            f"{file} has format {manifest.format}, this Punie reads {FORMAT}; make it again."
        )
    for name in manifest.parts:
        if not (folder / f"{name}.jsonl").is_file():
            raise TrainingError(f"{folder} lacks {name}.jsonl; make the dataset again.")
    return Dataset(folder, manifest)


def write_dataset(
    out: Path,
    manifest: Manifest,
    parts: Mapping[str, Iterable[Example]],
) -> Dataset:
    """Write a dataset, whole or not at all; what `manifest` says of parts is worked out anew.

    Raises:
        TrainingError: `out` exists already or cannot be written.
    """
    with output_folder(out) as folder:
        whole = write_files(folder, manifest, parts)
    return Dataset(out, whole)


def write_files(
    folder: Path, manifest: Manifest, parts: Mapping[str, Iterable[Example]]
) -> Manifest:
    """Write a dataset's files into a folder that is there; return what its manifest says.

    Raises:
        OSError: they cannot be written; `output_folder` tells of it.
    """
    written = {
        name: _write_part(folder / f"{name}.jsonl", examples) for name, examples in parts.items()
    }
    whole = manifest.model_copy(update={"parts": written})
    text = whole.model_dump_json(indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return whole


def read_examples(file: Path) -> Iterator[Example]:
    """Yield the examples of a JSON-lines file.

    Raises:
        TrainingError: the file cannot be read, or a line is not an example; names file and line.
    """
    for number, line in read_lines(file):
        try:
            yield Example.model_validate_json(line)
        except ValidationError as error:
            raise TrainingError(
                f"{file}, line {number} is not an example ({in_words(error)})."
            ) from error


def read_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, numbered from 1.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        with file.open("rb") as lines:
            yield from enumerate(lines, 1)
    except OSError as error:
        raise TrainingError(f"{file} cannot be read ({in_words(error)}).") from error


def example_line(example: Example) -> str:
    """Return an example as its line, with the newline."""
    return example.model_dump_json(exclude_defaults=True) + "\n"


def _write_part(file: Path, examples: Iterable[Example]) -> Part:
    digest, count = hashlib.sha256(), 0
    with file.open("wb") as out:
        for example in examples:
            line = example_line(example).encode()
            digest.update(line)
            out.write(line)
            count += 1
    return Part(examples=count, sha256=digest.hexdigest())


def in_words(error: Exception) -> str:
    """Say in a few words why a file or a line could not be read."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        return f"{place}: {first['msg']}" if place else str(first["msg"])
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return (str(error).splitlines() or [type(error).__name__])[0]
