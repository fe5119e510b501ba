"""Whether an answer says something: a name, a path, a number, a line of output."""

import re
from collections.abc import Sequence

from punie.evaluation.suite import Check

_MARKS = re.compile(r"[`*]|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)")
_THOUSANDS = re.compile(r"(?<=\d)[,\u202f\u00a0 ](?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)
_IN_WORDS = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b")

_MOST_OTHERS = 10
"""Numbers; who names more of them beside the right one has guessed, and not answered."""

Fact = str | Sequence[str]
"""What an answer is to say; of several texts one is enough."""


def names(answer: str, fact: str) -> bool:
    """Tell whether a fact stands in an answer, and not only within a longer word or number."""
    plain = re.escape(" ".join(fact.replace("`", "").split()).rstrip("."))
    whole = rf"(?<!\w)(?<!\d\.){plain}(?!\w)(?!\.\d)"
    return re.search(whole, " ".join(answer.replace("`", "").split())) is not None


def stated(answer: str, fact: Fact) -> Check:
    """Tell whether an answer states a fact.

    Softly, upper and lower case, Markdown, and how a number is written do not matter.
    """
    if not isinstance(fact, str):
        found = [stated(answer, each) for each in fact]
        return Check(strict=any(c.strict for c in found), soft=any(c.soft for c in found))
    strict = names(answer, fact)
    return Check(strict=strict, soft=strict or names(_loosely(answer), _loosely(fact)))


def states_all(answer: str, facts: Sequence[Fact], unsaid: Sequence[str] = ()) -> Check:
    """Tell whether an answer states all facts, and nothing that it is not to say.

    Strictly it must not name all numbers that could be meant, either.
    """
    found = [stated(answer, fact) for fact in facts]
    wrong = any(names(answer, each) for each in unsaid)
    guessed = any(map(_is_number, facts)) and len(_others(answer, facts)) > _MOST_OTHERS
    return Check(
        strict=bool(answer) and all(c.strict for c in found) and not wrong and not guessed,
        soft=bool(answer) and all(c.soft for c in found) and not wrong,
    )


def _texts(fact: Fact) -> Sequence[str]:
    """Return the texts of which one is enough."""
    return [fact] if isinstance(fact, str) else fact


def _is_number(fact: Fact) -> bool:
    return any(_NUMBER.fullmatch(text) for text in _texts(fact))


def _others(answer: str, facts: Sequence[Fact]) -> set[str]:
    """Return the numbers that an answer names and that are no fact."""
    due = {text for fact in facts for text in _texts(fact)}
    return {number for number in _NUMBER.findall(answer) if number not in due}


def _loosely(text: str) -> str:
    text = _THOUSANDS.sub("", _MARKS.sub("", text).casefold())
    text = _IN_WORDS.sub(lambda word: str(_WORDS.index(word[0])), text)
    return _NUMBER.sub(lambda number: f"{float(number[0]):.6f}".rstrip("0").rstrip("."), text)
