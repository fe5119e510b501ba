"""Which ids a model's tokenizer writes; light to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.models.catalog import read_json_object


@dataclass(frozen=True)
class TokenIds:
    """What makes two tokenizers write the same ids: equal ones do.

    Attributes:
        ordinary: the vocabulary of text, how it is merged, and how text is cut before that.
        control: the ids of the tokens that text never becomes, by name.
    """

    ordinary: tuple[Any, ...]
    control: dict[str, int]


def read_token_ids(directory: Path) -> TokenIds:
    """Read tokenizer.json of the model in `directory`; raise `ModelUnavailable`."""
    description = read_json_object(directory / "tokenizer.json")
    model = description.get("model") or {}
    added = description.get("added_tokens") or []
    return TokenIds(
        ordinary=(model.get("vocab"), model.get("merges"), description.get("pre_tokenizer")),
        control={token["content"]: token["id"] for token in added},
    )
