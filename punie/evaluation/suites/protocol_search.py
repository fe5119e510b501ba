"""protocol-search: which classes subclass `Protocol`, in a project with places to go wrong.

The question of the diary that this project began with, on a project of its own, and its relatives.
A name counts only if it was shown by a call: what a model remembers, or guesses, is worth nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.evaluation.suite import Check, Item, Needs, Say, Verdict
from punie.evaluation.suites.claims import claims_of
from punie.evaluation.suites.frozen import Files, frozen, write_files
from punie.evaluation.suites.listed import ListedSuite
from punie.evaluation.suites.seeing import looked, seen
from punie.evaluation.work import Work
from punie.tools.wording import count

_PROJECT = "data/harbor"
_NEEDS = Needs(requests=30, tokens=2_048, seconds=600.0)
_CLASS = re.compile(r"\bclass (\w+)|\b(\w+) = TypedDict\(|\b([A-Z]\w+Plugin)\b")
_FUNCTION = re.compile(r"\bdef (\w+)")


def project() -> Files:
    """Return the project that is searched, by path."""
    files: Files = frozen(_PROJECT)["files"]
    return files


@dataclass(frozen=True)
class NamesDue:
    """Judges an answer that lists names.

    Attributes:
        due: the names that are asked for.
        tolerated: names that a person would not call wrong; strictly they are.
        functions: whether functions are asked for, not classes.
        asked: the question; a name in it is not part of the answer.
    """

    due: tuple[str, ...]
    asked: str
    tolerated: tuple[str, ...] = ()
    functions: bool = False

    async def __call__(self, work: Work, root: Path) -> Verdict:
        """Compare the names that were given, and seen, with those that are due."""
        text = "\n".join([self.asked, *project(), *project().values()])
        pattern = _FUNCTION if self.functions else _CLASS
        known = {name for found in pattern.findall(text) for name in _groups(found) if name}
        known -= {"Protocol", *re.findall(r"\w+", self.asked)}
        claims = claims_of(work.answer, known | set(self.due), text)
        right = claims.names & seen(work, self.due) & set(self.due)
        wrong = (claims.names - set(self.due)) | claims.invented
        bad = wrong - set(self.tolerated)
        is_complete = len(right) == len(self.due)
        has_looked = looked(work)
        checks = {
            "looked": Check.of(has_looked),
            "complete": Check.of(is_complete),
            "clean": Check(
                strict=has_looked and not wrong and bool(right),
                soft=has_looked and not bad and bool(right),
            ),
            "solved": Check(strict=is_complete and not wrong, soft=is_complete and not bad),
        }
        memory = {} if work.peak_memory is None else {"peak_memory": float(work.peak_memory)}
        return Verdict(
            checks=checks,
            measures={
                **memory,
                "recall": len(right) / len(self.due),
                "precision": len(right) / max(1, len(right) + len(bad)),
                "false_positives": float(len(bad)),
                "calls": float(len(work.calls)),
                "seconds": work.seconds,
                "tokens": float(work.tokens),
                "read_tokens": float(work.read_tokens),
            },
            due=list(self.due),
            note=self._note(claims.names, right, wrong, has_looked),
        )

    def _note(
        self, given: frozenset[str], right: frozenset[str], wrong: frozenset[str], has_looked: bool
    ) -> str:
        if not has_looked:
            return "Nothing was looked at, so the answer counts for nothing."
        unseen = sorted(given & set(self.due) - right)
        missing = sorted(set(self.due) - given)
        said = [
            *([f"missing: {', '.join(missing)}"] if missing else []),
            *([f"never seen in a result: {', '.join(unseen)}"] if unseen else []),
            *([f"wrong: {', '.join(sorted(wrong))}"] if wrong else []),
        ]
        return f"{count(len(right), 'name')} right; {'; '.join(said)}." if said else ""


def _groups(found: str | tuple[str, ...]) -> tuple[str, ...]:
    return (found,) if isinstance(found, str) else found


_PROTOCOLS = (
    *("BlobStore", "BlobIndex", "ByteCodec", "WallClock", "EventSink", "JobRunner"),
    *("RetryPolicy", "PluginHook", "LinkOptions"),
)
_INDIRECT = ("DiskStore", "JsonCodec", "SystemClock", "BrokenStore")
_NAMESAKES = ("LineReader", "BinaryFraming")
"""Subclasses of another class that is called Protocol."""


@dataclass(frozen=True)
class _Question:
    kind: str
    text: str
    due: tuple[str, ...]
    tolerated: tuple[str, ...] = ()
    functions: bool = False


QUESTIONS: Mapping[str, _Question] = {
    "protocol/plain": _Question(
        "protocol",
        "Which classes in this project subclass Protocol?",
        _PROTOCOLS,
        (*_INDIRECT, *_NAMESAKES),
    ),
    "protocol/bases": _Question(
        "protocol",
        "Which classes have typing's Protocol among their own bases? The one of typing_extensions "
        "counts as well; other classes that happen to be called Protocol don't.",
        _PROTOCOLS,
    ),
    "protocol/one-per-line": _Question(
        "protocol",
        "List every protocol class of this code base, one name per line and nothing else. I mean "
        "structural types as in typing.Protocol, not network protocols.",
        _PROTOCOLS,
        _INDIRECT,
    ),
    "protocol/decorate": _Question(
        "protocol",
        "I'm thinking of putting @runtime_checkable on all our typing protocols. Don't change "
        "anything yet, just tell me which classes that would be, including the ones that have it "
        "already.",
        _PROTOCOLS,
    ),
    "protocol/however-imported": _Question(
        "protocol",
        "Give me the names of all classes that inherit directly from typing.Protocol, however it "
        "was imported there. Only code counts, not examples in texts.",
        _PROTOCOLS,
    ),
    "protocol/count": _Question(
        "protocol",
        "How many typing.Protocol classes do we define by now, and what are they called?",
        _PROTOCOLS,
        _INDIRECT,
    ),
    "protocol/folder": _Question(
        "protocol",
        "Is there a class in harbor/net that is a typing.Protocol? Which?",
        ("LinkOptions",),
    ),
    "relatives/asyncio": _Question(
        "relatives",
        "Which of our classes derive from one of asyncio's protocol base classes?",
        ("LineReader", "FrameWriter"),
    ),
    "relatives/abstract": _Question(
        "relatives",
        "What are the subclasses of the abstract class Vessel, direct and indirect?",
        ("CargoShip", "CarFerry", "WaterTaxi", "RollOnFerry"),
    ),
    "relatives/implementers": _Question(
        "relatives",
        "Which classes name BlobStore as their base?",
        ("DiskStore", "BrokenStore"),
    ),
    "relatives/typed-dicts": _Question(
        "relatives",
        "Which TypedDicts are defined in this project, in whichever way?",
        ("JobRecord", "BerthRow", "PaidBerthRow", "CraneRow", "TideRow"),
    ),
    "relatives/frozen": _Question(
        "relatives",
        "Which of our dataclasses are frozen?",
        ("ShipArrived", "JobTicket", "Draught"),
    ),
    "relatives/callers": _Question(
        "relatives",
        "Which functions call berth_fee from harbor/fees.py? Methods of that name elsewhere are "
        "something else.",
        ("weekly_fee", "bill_ship", "estimate_stay"),
        functions=True,
    ),
}
"""The items by name."""


def _item(name: str, question: _Question) -> Item:
    return Item(
        name=name,
        kind=question.kind,
        actions=(Say(question.text),),
        prepare=_write,
        judge=NamesDue(question.due, question.text, question.tolerated, question.functions),
        needs=_NEEDS,
    )


def _write(root: Path) -> None:
    write_files(root, project())


def _items() -> Sequence[Item]:
    return tuple(_item(name, question) for name, question in QUESTIONS.items())


PROTOCOL_SEARCH = ListedSuite(
    name="protocol-search",
    version=2,
    about="Finding all classes that subclass Protocol, and the like, in a project with traps.",
    items=_items,
)
