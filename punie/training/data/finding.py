"""Finding one example of a dataset, by its line or by its id."""

import re

from punie.training.data.dataset import Dataset
from punie.training.data.example import Example
from punie.training.errors import TrainingError

_LEAST_ID = 4
_ID = re.compile(r"[0-9a-f]+")


def find_example(dataset: Dataset, wanted: str) -> tuple[str, int, Example]:
    """Return an example with its part and line.

    `wanted` is PART:LINE such as "train:12", a line of the first part such as "12", or the
    beginning of an example's id, of at least four letters.

    Raises:
        TrainingError: there is none, or several are meant.
    """
    part, colon, line = wanted.rpartition(":")
    if line.isdecimal() and (colon or len(line) < _LEAST_ID):
        part = part or next(iter(dataset.manifest.parts), "")
        for number, example in enumerate(dataset.examples(part), 1):
            if number == int(line):
                return part, number, example
        count = dataset.manifest.parts[part].examples
        raise TrainingError(f"Part {part} of {dataset.folder} has {count} lines, not {line}.")
    if colon or len(wanted) < _LEAST_ID or not _ID.fullmatch(wanted):
        raise TrainingError(
            f"{wanted!r} names no example; write PART:LINE, such as train:12, or the first letters "
            "of an id."
        )
    found = [
        (name, number, example)
        for name in dataset.manifest.parts
        for number, example in enumerate(dataset.examples(name), 1)
        if example.id.startswith(wanted)
    ]
    if not found:
        raise TrainingError(f"{dataset.folder} has no example {wanted}.")
    if len({example.id for _, _, example in found}) > 1:
        raise TrainingError(f"{len(found)} examples begin with {wanted}; write more letters.")
    return found[0]
