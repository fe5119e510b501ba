"""Which names an answer gives when it was asked for a list of them.

An answer may be a list, a table, one name a line, or prose. In an item of a list the names at its
head are given; what comes behind a colon or a dash explains them. In prose every name is given that
stands in a clause without a negation. What stands below a heading such as "Not protocols:" is
named only to say that it is not meant, and so is an item that goes on with "not". Remarks and what
is indented below a name only explain.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_PATH = re.compile(r"[\w.-]*/[\w./-]+|\b\w+\.(?:py|pyi|md|toml)\b(?::\d+)*")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)]|\|)\s+(?P<text>.+)")
_HEADING = re.compile(r"\s*(?:#+\s|\*\*.+\*\*:?\s*$|.*:\s*$)")
_REMARK = re.compile(r"\W*(?:please note|note|remark|keep in mind|for comparison)\b", re.IGNORECASE)
_RULE = re.compile(r"[\s|:=-]*$")
_FENCE = re.compile(r"\s*```")
_BEHIND = re.compile(r"\s[-–—]+\s|:\s|:$|\(|\||\s(?:in|at|from|of|is|which|that)\s")
_CLAUSE = re.compile(
    r"[.;!?]\s|[;!?]$|\)|\s\(|"
    r",?\s(?=(?:but|while|whereas|although|though|however|not counting|not including|excluding|"
    r"except|without|ignoring|rather than|unlike|instead of|leaving out)\b)"
)
_NEGATION = re.compile(
    r"\b(?:not?(?! (?:only|just|merely)\b)|none|never|neither|nor|without|except(?:ing)?|"
    r"exclud\w+|ignor\w+|rather than|"
    r"unlike|unrelated|instead of|only indirect\w*|indirect\w*|false|skip\w*|omit\w*|leav\w+ out|"
    r"left out)\b|n't\b",
    re.IGNORECASE,
)
_CONTRAST = re.compile(r",\s(?=not\b(?! (?:only|just|merely)\b))")
_EXCEPTION = re.compile(
    r"\(|,?\s(?:not counting|not including|excluding|except|without|ignoring|leaving out)\b"
)
_SOON = 4
"""Within so many words behind the head a negation says that an item is none."""
_INVENTED = re.compile(r"(?:[A-Z][a-z0-9]+){2,}")


@dataclass(frozen=True)
class Claims:
    """What an answer gives.

    Attributes:
        names: names of the project that are given, without their module or outer class.
        invented: names in the place of an answer that are written like a class and that no text of
            the project holds.
    """

    names: frozenset[str]
    invented: frozenset[str]


def claims_of(answer: str, known: Collection[str], text: str) -> Claims:
    """Return what an answer gives.

    Args:
        answer: as the model wrote it, in Markdown.
        known: every name that could be meant, right or wrong.
        text: all that the project holds, and the question; names in it are not invented.
    """
    given: set[str] = set()
    invented: set[str] = set()
    for part in _positive_parts(answer, known):
        for name in _names(part):
            if name in known:
                given.add(name)
            elif _INVENTED.fullmatch(name) and name not in text:
                invented.add(name)
    return Claims(frozenset(given), frozenset(invented))


def _positive_parts(answer: str, known: Collection[str]) -> Iterator[str]:
    """Yield the pieces of an answer whose names are given."""
    excluded = False
    depth, has_name = 0, False
    for line in answer.splitlines():
        if not line.strip() or _FENCE.match(line) or _RULE.match(line):
            continue
        item = _ITEM.match(line)
        if item or _is_only_names(line, known):
            head, behind = _head(item["text"] if item else line, known)
            indent = len(line) - len(line.lstrip())
            # What is below a name in a list says something of it; below a file are more names.
            if has_name and indent > depth:
                continue
            depth, has_name = indent, bool(head)
            if not excluded and not _negated_soon(behind):
                yield head
            continue
        depth, has_name = 0, False
        if _REMARK.match(line):
            continue
        is_heading = _HEADING.match(line) is not None
        excluded = is_heading and _NEGATION.search(_first_clause(line)) is not None
        if not excluded:
            yield from _positive_clauses(line, known)


def _is_only_names(line: str, known: Collection[str]) -> bool:
    words = re.sub(r"\bclass\b|[`*,()\[\]]", " ", line).split()
    return bool(words) and all(_last(word) in known for word in words)


def _head(text: str, known: Collection[str]) -> tuple[str, str]:
    """Return an item's first piece that holds a name, and what comes behind it."""
    rest = text.strip().strip("|")
    while rest:
        cut = _BEHIND.search(rest)
        head, behind = (rest[: cut.start()], rest[cut.end() :]) if cut else (rest, "")
        names = _names(head)
        if any(name in known or _INVENTED.fullmatch(name) for name in names):
            return head, behind
        rest = behind
    return "", ""


def _negated_soon(text: str) -> bool:
    return _NEGATION.search(" ".join(text.split()[:_SOON])) is not None


def _first_clause(heading: str) -> str:
    """Return what a heading says before it makes exceptions; "X, but not Y" is said of Y."""
    plain = heading.strip("#*: ")
    for cut in _EXCEPTION.finditer(plain):
        if cut.start():
            return plain[: cut.start()]
    return plain


def _positive_clauses(line: str, known: Collection[str]) -> Iterator[str]:
    for clause in _CLAUSE.split(line):
        said, *contrasts = _CONTRAST.split(clause)
        # "A does, not B" is said of B; "A calls something else, not it" of A.
        of_others = all(any(name in known for name in _names(each)) for each in contrasts)
        if of_others and not _NEGATION.search(said):
            yield said


def _names(text: str) -> list[str]:
    return [_last(found) for found in _NAME.findall(_PATH.sub(" ", text))]


def _last(dotted: str) -> str:
    return dotted.rstrip(".").rpartition(".")[2]
