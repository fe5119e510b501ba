"""Whether a teacher's logits speak of the tokens that a student writes."""

from dataclasses import dataclass
from pathlib import Path

from punie.models.architecture import text_config
from punie.models.catalog import read_json_object
from punie.models.tokens import read_token_ids


@dataclass(frozen=True)
class SharedVocabulary:
    """The ids that mean the same to two models.

    Attributes:
        width: ids below it are known to both; siblings of a family round their logits up to
            different widths.
        others: ids below `width` that are another token to each of them.
    """

    width: int
    others: tuple[int, ...] = ()


def shared_vocabulary(teacher: Path, student: Path) -> SharedVocabulary | None:
    """Return what the models in two folders share; None if they cut text in different ways.

    Reads their config.json and tokenizer.json alone. Raises `ModelUnavailable` if they cannot be
    read.
    """
    ours, theirs = read_token_ids(teacher), read_token_ids(student)
    if ours.ordinary != theirs.ordinary:
        return None
    width = min(_width(teacher), _width(student))
    different = set(ours.control.items()) ^ set(theirs.control.items())
    return SharedVocabulary(
        width, tuple(sorted({number for _, number in different if number < width}))
    )


def _width(directory: Path) -> int:
    config = read_json_object(directory / "config.json")
    return int(text_config(config)["vocab_size"])
