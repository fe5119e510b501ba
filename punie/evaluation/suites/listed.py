"""Suites whose items are written down one by one, and how their versions are frozen."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Item, Suite
from punie.training.hashing import value_hash


@dataclass(frozen=True)
class ListedSuite:
    """A suite whose items are listed; they are made when they are first asked for.

    Attributes:
        name, version, about, left_out: see `Suite`.
        items: returns the items in order.
    """

    name: str
    version: int
    about: str
    items: Callable[[], Sequence[Item]]
    left_out: str = ""

    @cached_property
    def _by_name(self) -> dict[str, Item]:
        return {item.name: item for item in self.items()}

    def names(self) -> Sequence[str]:
        """Return the names of all items, in order."""
        return tuple(self._by_name)

    async def item(self, name: str, folder: Path) -> Item:
        """Return an item.

        Raises:
            EvaluationError: there is no such item.
        """
        found = self._by_name.get(name)
        if found is None:
            raise EvaluationError(f"The suite {self.name} has no item {name!r}.")
        return found


async def fingerprint(suite: Suite, folder: Path) -> str:
    """Return a hash of all that decides what a suite's items ask and how they are judged.

    A test compares it with the one noted for the version, so that no item changes unnoticed.
    Judges count by their fields, so they are dataclasses; what their code does is tested elsewhere.
    `folder` is empty, and empty again in the end.
    """
    items = []
    for name in suite.names():
        item = await suite.item(name, folder)
        base = folder / "item"
        root = base / "project"
        root.mkdir(parents=True)
        item.prepare(root)
        items.append(
            {
                "name": item.name,
                "kind": item.kind,
                "actions": [repr(action) for action in item.actions],
                "project": _contents(base),
                "judge": _decision(item.judge),
                "more": _decision(item.more),
                "allows": _decision(item.allows),
                "unconfined": _decision(item.unconfined),
                "limits": repr(item.limits),
                "mode": item.mode,
                "code": item.code,
                "tools": None if item.tools is None else [tool.name for tool in item.tools],
                "needs": repr(item.needs),
            }
        )
        shutil.rmtree(base)
    return value_hash(items)[:16]


def _contents(base: Path) -> dict[str, str]:
    """Return every file with its text and every link with where it leads; not what git keeps."""
    found = {}
    for path in sorted(base.rglob("*")):
        inside = path.relative_to(base)
        if ".git" in inside.parts:
            continue
        if path.is_symlink():
            found[inside.as_posix()] = f"-> {path.readlink()}".replace(str(base), "")
        elif path.is_file():
            found[inside.as_posix()] = path.read_bytes().decode("utf-8", "surrogateescape")
    return {name: text.encode("utf-8", "backslashreplace").decode() for name, text in found.items()}


def _decision(function: Any) -> str:
    """Return what tells one function of an item from another: its name, or a dataclass's fields."""
    if is_dataclass(function) and not isinstance(function, type):
        return repr(function)
    return str(getattr(function, "__qualname__", type(function).__qualname__))
