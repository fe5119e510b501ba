"""What a suite is: items that a model works on as the agent, and how each is judged.

An item is one conversation in a project of its own. What counts is which calls were executed and
what the workspace holds in the end; words alone never make an item right.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from punie.agent.events import Mode
from punie.evaluation.work import Work
from punie.tools.base import AnyTool, ToolLimits
from punie.training.data.example import Function


class Check(BaseModel):
    """One thing that is judged: `strict`ly, and `soft`ly where that differs.

    Soft is what a person would let pass: another way to the same end, other words for the same
    facts. What is strictly right is softly right too.
    """

    model_config = ConfigDict(frozen=True)

    strict: bool
    soft: bool

    @classmethod
    def of(cls, right: bool) -> "Check":
        """Return a check where soft is no different."""
        return cls(strict=right, soft=right)


class Verdict(BaseModel):
    """How an item was done.

    Attributes:
        checks: what was judged, by name; `solved` is always there, the others are the suite's own,
            such as `tool` and `arguments`. A check that does not apply to the item is left out.
        measures: figures of the item by name, such as `recall`; higher is not always better.
        due: what would have been right, as plain data for a person who reads the report.
        note: why it is not solved, in a sentence; "" if it is.
    """

    model_config = ConfigDict(frozen=True)

    checks: Mapping[str, Check]
    measures: Mapping[str, float] = {}
    due: Any = None
    note: str = ""


@dataclass(frozen=True)
class Say:
    """The person sends a prompt; from then on `tools` are offered, or as before for None."""

    text: str
    tools: Sequence[AnyTool] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Compact:
    """The conversation is compacted, as by `/compact`."""


@dataclass(frozen=True)
class Reload:
    """The session is closed, stored, and opened again, as after a restart of the IDE."""


Action = Say | Compact | Reload


@dataclass(frozen=True)
class Needs:
    """What an item may take: model calls of a turn, tokens of one answer, seconds in all."""

    requests: int = 24
    tokens: int = 2_048
    seconds: float = 300.0


class Answerer(Protocol):
    """The person who is asked for permission."""

    def __call__(self, call: Function) -> bool:
        """Tell whether the person allows this call once."""
        ...


def allow_nothing(call: Function) -> bool:
    """Deny every call that is asked about."""
    return False


def allow_everything(call: Function) -> bool:
    """Allow every call that is asked about."""
    return True


async def say_no_more(work: Work, root: Path) -> Say | None:
    """Leave it at what was said."""
    return None


async def nothing_open() -> None:
    """Close nothing."""


@dataclass(frozen=True)
class Item:
    """One conversation and how it is judged.

    Attributes:
        name: unique within the suite and the same from version to version, such as `read/003`.
        kind: what it is counted under in the report.
        actions: what happens, in order; most items have one `Say`.
        prepare: writes the project into the empty folder that it is given. Its parent is private
            to the item, for what lies outside the workspace. Blocks.
        judge: looks at the work and at the project folder afterwards; may run programs there.
        more: asked after the last action for something else to say, such as the output of failed
            tests; None ends the item. Asked again after each.
        close: called when the work has ended, however it did; ends what its tools have started.
        mode: the session's permission mode.
        allows: answers what is asked about; the mode decides what that is.
        unconfined: likewise for what would run outside the sandbox, or where none works.
        hidden: folders that its commands cannot read, such as one with the solutions.
        tools: the tools offered in place of the product's own, if any.
        limits: of the tools, in place of the product's own.
        code: whether the session is in code mode.
        needs: what it may take; a run can allow less.
    """

    name: str
    kind: str
    actions: Sequence[Action]
    prepare: Callable[[Path], None]
    judge: Callable[[Work, Path], Awaitable[Verdict]]
    more: Callable[[Work, Path], Awaitable[Say | None]] = say_no_more
    close: Callable[[], Awaitable[None]] = nothing_open
    mode: Mode = "accept_edits"
    allows: Answerer = allow_everything
    unconfined: Answerer = allow_nothing
    hidden: tuple[Path, ...] = ()
    tools: Sequence[AnyTool] | None = None
    limits: ToolLimits | None = None
    code: bool = False
    needs: Needs = field(default_factory=Needs)


class Suite(Protocol):
    """A named, versioned sequence of items.

    The items of a version never change; a change of any is a new version, so that results of one
    version can be compared.
    """

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def version(self) -> int:
        """Counts the changes."""
        ...

    @property
    def about(self) -> str:
        """What it measures, in one sentence."""
        ...

    @property
    def left_out(self) -> str:
        """What of a published suite is not in it and why, in a sentence; "" if nothing is."""
        ...

    def names(self) -> Sequence[str]:
        """Return the names of all items, in order.

        Raises `EvaluationError` if the suite's files are not there or cannot be read.
        """
        ...

    async def item(self, name: str, folder: Path) -> Item:
        """Return an item.

        `folder` is empty and private, for a suite that works something out in a project first; it
        is empty again when this returns. Raises `EvaluationError` if the item cannot be made.
        """
        ...
