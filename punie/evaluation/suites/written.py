"""What is written down of items in TOML: prompts, what is due, and how it can be done."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from punie.evaluation.suites.frozen import frozen
from punie.evaluation.suites.project import parcels
from punie.training.data.example import Function

Facts = tuple[str | tuple[str, ...], ...]
"""What an answer is to say, see `punie.evaluation.facts.Fact`."""


class Written(BaseModel):
    """Base of all that is written down; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Replaced(Written):
    """A text in a file that another takes the place of, once."""

    path: str
    old: str
    new: str


class Change(Written):
    """How a project differs from what it was.

    Attributes:
        written: files with their whole text.
        replaced: what is replaced in files.
        moved: where files have moved to, by where they were.
        gone: files that are no longer there.
    """

    written: Mapping[str, str] = {}
    replaced: tuple[Replaced, ...] = ()
    moved: Mapping[str, str] = {}
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything differs."""
        return self != Change()

    def of(self, files: Mapping[str, str]) -> dict[str, str]:
        """Return the files with the change made.

        Raises `ValueError` if it does not fit.
        """
        made = {**files, **self.written}
        for each in self.replaced:
            if made[each.path].count(each.old) != 1:
                raise ValueError(f"{each.path} does not have {each.old!r} once")
            made[each.path] = made[each.path].replace(each.old, each.new)
        for path, to in self.moved.items():
            made[to] = made.pop(path)
        for path in self.gone:
            del made[path]
        return made


class Solution(Written):
    """A right way to do an item: calls one after another, and what is said in the end."""

    calls: tuple[Function, ...] = ()
    answer: str


class WrittenItem(Written):
    """What all items have.

    Attributes:
        name: unique in its suite; what is before the slash is what it is counted under.
        prompt: what the person says.
        before: how the project differs from the frozen one when the item begins.
    """

    name: str = Field(pattern=r"[a-z_]+/[a-z0-9_]+")
    prompt: str
    before: Change = Change()

    @property
    def kind(self) -> str:
        """What it is counted under."""
        return self.name.partition("/")[0]

    @property
    def project(self) -> dict[str, str]:
        """The project's files when the item begins."""
        return self.before.of(parcels().files)


AnyWritten = TypeVar("AnyWritten", bound=WrittenItem)


def written_items(name: str, kind: type[AnyWritten], table: str = "item") -> list[AnyWritten]:
    """Return the items of a table of a TOML file in the folder of data, in order."""
    raw: list[Any] = frozen(f"data/{name}")[table]
    return [kind.model_validate(each) for each in raw]
