"""edits: mistakes to repair and small features to add, judged by tests that stay hidden.

Each project has tests that the model can see and run; others are run when it is done. What a model
says of its work counts for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from punie.evaluation.suite import Check, Item, Needs, Say, Verdict
from punie.evaluation.suites.frozen import frozen, frozen_names, write_files
from punie.evaluation.suites.hidden_tests import is_code, passing
from punie.evaluation.suites.listed import ListedSuite
from punie.evaluation.suites.written import Change, Written
from punie.evaluation.work import Work

_FOLDER = "data/edits"
_NEEDS = Needs(requests=40, tokens=4_096, seconds=900.0)


class Edit(Written):
    """One project, what is to be changed in it, and how that is judged.

    Attributes:
        kind: a "bug" to repair, a "feature" to add, a "refactor" that changes no behaviour, broken
            "imports", or "types" that a checker is not content with.
        level: from 1, a line at a place that is named, to 3, several places that have to be found.
        prompt: what the person says.
        files: the project, with tests that the model sees.
        hidden: tests that it does not see.
        solution: one right change.
        types: whether type errors count too.
    """

    kind: Literal["bug", "feature", "refactor", "imports", "types"]
    level: Literal[1, 2, 3]
    prompt: str
    files: Mapping[str, str]
    hidden: Mapping[str, str]
    solution: Change
    types: bool = False

    @property
    def tests(self) -> dict[str, str]:
        """All tests, by path."""
        seen = {path: text for path, text in self.files.items() if not is_code(path)}
        return {**seen, **self.hidden}


@dataclass(frozen=True)
class TestsDecide:
    """Judges an edit by its tests; strictly, those that were given stay as they are."""

    edit: Edit

    async def __call__(self, work: Work, root: Path) -> Verdict:
        """Run all tests on the code as it is now."""
        before = {path: text.encode() for path, text in self.edit.files.items()}
        code = {path: data for path, data in work.files.items() if is_code(path)}
        is_edited = code != {path: data for path, data in before.items() if is_code(path)}
        tests = [path for path in before if not is_code(path)]
        kept = all(work.files.get(path) == before[path] for path in tests)
        why = "no code was changed"
        if is_edited:
            why = await passing(work.files, self.edit.tests, types=self.edit.types)
        changed = {
            path
            for path in {*before, *work.files}
            if before.get(path) != work.files.get(path) and not (is_new_test(path, before))
        }
        due = self.edit.solution.of(self.edit.files)
        spared = {path for path, data in before.items() if due.get(path, "").encode() == data}
        return Verdict(
            checks={
                "solved": Check(strict=not why and kept, soft=not why),
                "tests_kept": Check.of(kept),
                "scope": Check.of(is_edited and not changed & spared),
            },
            measures={"level": float(self.edit.level), "files_changed": float(len(changed))},
            due=self.edit.solution.model_dump(mode="json", exclude_defaults=True),
            note=_note(why, kept),
        )


def is_new_test(path: str, before: Mapping[str, bytes]) -> bool:
    """Tell whether a file is a test that the model added, which is no change of the project."""
    return path not in before and not is_code(path) and path.endswith(".py")


def _note(why: str, kept: bool) -> str:
    if why:
        return f"{why[0].upper()}{why[1:]}".rstrip(".") + "."
    return "" if kept else "The tests that were given were changed."


def edits() -> Mapping[str, Edit]:
    """Return all edits by the name of the item: first repairs, each kind by its level."""
    made = {name: Edit.model_validate(frozen(name)) for name in frozen_names(_FOLDER)}
    kinds = ("bug", "imports", "types", "feature", "refactor")
    found = sorted(made.items(), key=lambda each: (kinds.index(each[1].kind), each[1].level))
    return {
        f"{edit.kind}/{name.rpartition('/')[2].replace('_', '-')}": edit for name, edit in found
    }


@dataclass(frozen=True)
class _Files:
    """Writes a project."""

    files: Mapping[str, str]

    def __call__(self, root: Path) -> None:
        """Write it below `root`."""
        write_files(root, self.files)


def _items() -> Sequence[Item]:
    return tuple(
        Item(
            name=name,
            kind=edit.kind,
            actions=(Say(edit.prompt),),
            prepare=_Files(edit.files),
            judge=TestsDecide(edit),
            needs=_NEEDS,
        )
        for name, edit in edits().items()
    )


EDITS = ListedSuite(
    name="edits",
    version=2,
    about="Repairs and small features in small projects, judged by tests that stay hidden.",
    items=_items,
)
