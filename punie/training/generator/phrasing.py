"""How people put their requests: phrases by kind of task, with some kept out of training.

They stand in `phrases.toml`. What is held out there is never used for training, so that evaluation
can tell how far a model generalises from wording it knows.
"""

import itertools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

PartName = Literal["train", "valid", "test"]

_FILE = Path(__file__).with_name("phrases.toml")
_NO_ORDER = frozenset(("I", "I'd", "there", "the", "two", "new", "where", "in", "let"))
"""First words of requests that are no orders, before which "can you" makes no sense."""

_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_PLAIN = ("", "", "", "", "", "")
OPENERS = (
    *_PLAIN, "please ", "please ", "can you ", "could you ", "hey, ", "now ", "ok, ", "would you ",
    "I want you to ", "I'd like you to ", "you should ", "next, ", "and now ", "will you ",
    "could you please ", "go ahead and ", "let's ", "hi, ", "punie, ", "so, ", "first, ",
)  # fmt: skip
CLOSERS = (*_PLAIN, ".", ".", ".", " please", ", please", " for me", "!", ", thanks", " now", " :)")
NEUTRAL_OPENERS = ("", "", "", "", "hey, ", "ok, ", "so, ", "next, ", "now, ", "punie, ")
QUESTION_OPENERS = ("", "", "", "", "", "", "hey, ", "ok, ", "quick question: ", "and ", "so, ")


@dataclass(frozen=True)
class Phrases:
    """The templates of one kind of task; "(a|b)" in them stands for one of the two."""

    known: tuple[str, ...]
    held_out: tuple[str, ...]
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def of(self, part: PartName) -> tuple[str, ...]:
        """Return what a part of a dataset asks with, unless it is to be what is held out."""
        other: dict[PartName, tuple[str, ...]] = {"valid": self.valid, "test": self.test}
        return other.get(part) or self.known


@cache
def all_phrases() -> Mapping[str, Phrases]:
    """Return the phrases by kind of task."""
    read = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {
        kind: Phrases(**{name: tuple(phrases) for name, phrases in lists.items()})
        for kind, lists in read.items()
    }


def expansions(template: str) -> list[str]:
    """Return every phrase that a template stands for, in order."""
    pieces = _CHOICE.split(template)
    options = [[piece] if i % 2 == 0 else piece.split("|") for i, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in itertools.product(*options)]


def choose(rng: Random, kind: str, *, held_out: bool = False, part: PartName = "train") -> str:
    """Pick a phrase, perhaps with names still to be filled in: a known one or a held-out one."""
    phrases = all_phrases()[kind]
    template = rng.choice(phrases.held_out if held_out else phrases.of(part))
    return _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)


def dress(rng: Random, request: str, *, opened: bool = True, fixed: bool = False) -> str:
    """Vary a request the way people do: an opener where it fits, a closer, a capital letter.

    `fixed`: it begins with a name, which stays as it is.
    """
    question = request.endswith("?")
    openers: tuple[str, ...] = QUESTION_OPENERS if question else OPENERS
    if not question and (fixed or request.partition(" ")[0] in _NO_ORDER):
        openers = NEUTRAL_OPENERS
    opener = rng.choice(openers) if opened else ""
    request = opener + request
    if not question and (not request.endswith(("`", '"', "'")) or rng.random() < 0.5):
        request += rng.choice(CLOSERS)
    if rng.random() < 0.6 and (opener or not fixed):
        request = request[0].upper() + request[1:]
    return request


def quote(rng: Random, text: str, *, always: bool = False) -> str:
    """Put text that must be taken literally into back-ticks or quotes, or leave a word bare."""
    styles = ["`{}`", "`{}`"]
    if '"' not in text:
        styles.append('"{}"')
    if "'" not in text:
        styles.append("'{}'")
    if not always and " " not in text:
        styles.extend(["{}", "{}", "{}"])
    return rng.choice(styles).format(text)
