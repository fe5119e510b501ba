"""A model's tokenizer, split in two: control tokens by name, and ordinary text.

`encode_text` can never produce a control token, whatever the text says: the tokenizer it uses
has none. Control tokens are only ever written by their id, by the chat template's renderer.
"""

import codecs
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from punie.models.catalog import ModelUnavailable, read_json_object


def _byte_level_alphabet() -> dict[str, int]:
    """Map the characters that byte-level BPE writes for bytes back to the bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in alphabet.values())
    alphabet.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return alphabet


_BYTES = _byte_level_alphabet()


class Vocabulary:
    """Encodes text, names control tokens and turns ids back into text.

    `description` is the content of a tokenizer.json of a byte-level BPE. `added` are further
    tokens by id, as tokenizer_config.json lists them. Raises `ModelUnavailable` for other kinds.
    """

    def __init__(self, description: dict[str, Any], added: Mapping[int, str] | None = None) -> None:
        if (description.get("decoder") or {}).get("type") != "ByteLevel":
            raise ModelUnavailable(
                "The model's tokenizer is not a byte-level BPE; choose a model of the Qwen family."
            )
        tokens = {int(token["id"]): str(token["content"]) for token in description["added_tokens"]}
        tokens.update(added or {})
        self.control: dict[str, int] = {literal: number for number, literal in tokens.items()}
        self._control_names = tokens
        # Without added tokens nothing in a text is special; the post-processor could add some.
        plain = {**description, "added_tokens": [], "post_processor": None}
        plain |= {"truncation": None, "padding": None}
        try:
            self._plain: Tokenizer = Tokenizer.from_str(json.dumps(plain))
        except Exception as error:
            raise ModelUnavailable(
                f"The model's tokenizer.json is damaged ({error}); download the model again."
            ) from error
        self._bytes: dict[int, bytes] = {
            number: literal.encode() for number, literal in tokens.items()
        }

    @classmethod
    def load(cls, directory: Path) -> "Vocabulary":
        """Read tokenizer.json and tokenizer_config.json; raise `ModelUnavailable`."""
        config_file = directory / "tokenizer_config.json"
        config = read_json_object(config_file) if config_file.exists() else {}
        listed = config.get("added_tokens_decoder") or {}
        added = {int(number): str(token["content"]) for number, token in listed.items()}
        return cls(read_json_object(directory / "tokenizer.json"), added)

    def encode_text(self, text: str) -> list[int]:
        """Return the ids of `text` as ordinary text, control literals in it included."""
        if not text:
            return []
        try:
            ids = self._encode(text)
        except (UnicodeEncodeError, TypeError):
            # Lone surrogates, as a file name with broken bytes has them, cannot be encoded.
            ids = self._encode(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        if not self._control_names.keys().isdisjoint(ids):
            # Some tokenizers look whole words up in the vocabulary, where the names stand too.
            ids = [number for character in text for number in self._encode(character)]
        return ids

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def token_bytes(self, number: int) -> bytes:
        """Return what token `number` stands for; an id without a token stands for nothing."""
        known = self._bytes.get(number)
        if known is None:
            name = self._plain.id_to_token(number)
            known = b"" if name is None else bytes(map(_BYTES.__getitem__, name))
            self._bytes[number] = known
        return known

    @property
    def size(self) -> int:
        """How many rows a model needs for these tokens: one more than the highest id."""
        highest = max(self._plain.get_vocab().values(), default=-1)
        return max(highest, *self._control_names, -1) + 1

    def control_name(self, number: int) -> str | None:
        """Return the name of a control token, None for any other token."""
        return self._control_names.get(number)

    def text(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, control tokens by their names."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")


@dataclass(frozen=True)
class ControlToken:
    """A control token in a model's output, by its name; text with the same letters is not one."""

    literal: str


Piece = str | ControlToken
"""A piece of a model's output."""


class TextDecoder:
    """Turns a stream of ids into text and control tokens, holding back unfinished characters."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, ids: Iterable[int]) -> list[Piece]:
        """Return what `ids` complete; neighbouring text comes as one piece."""
        pieces: list[Piece] = []
        raw: list[bytes] = []
        for number in ids:
            literal = self._vocabulary.control_name(number)
            if literal is None:
                raw.append(self._vocabulary.token_bytes(number))
                continue
            # No character goes on behind a control token.
            text = self._utf8.decode(b"".join(raw), final=True)
            self._utf8.reset()
            raw.clear()
            pieces += [text, ControlToken(literal)] if text else [ControlToken(literal)]
        if text := self._utf8.decode(b"".join(raw)):
            pieces.append(text)
        return pieces

    def finish(self) -> str:
        """Return what is left, with a replacement character for a cut one."""
        return self._utf8.decode(b"", final=True)
