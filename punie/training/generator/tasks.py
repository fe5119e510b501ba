"""Tasks, and what families of tasks make them with.

A task is a request, the teacher that does it, and what must be true afterwards. What must be true
is worked out from the project, not from what the teacher did: an example that fails it is dropped.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from punie.training.generator.answers import Teacher
from punie.training.generator.names import Names
from punie.training.generator.phrasing import PartName, choose, dress, quote
from punie.training.generator.projects import Constant, Project
from punie.training.generator.rollout import Transcript

Files = Mapping[str, str | None]
"""Texts by relative path; None is a file that is not there."""

_KEYWORDS = re.compile(r"def|return|class|import|from|assert|raise|self|print|None|True|False")


@dataclass(frozen=True)
class Task:
    """One request and its teacher.

    Attributes:
        kind: the family of tasks it is of.
        prompt: what the user writes.
        teacher: makes the calls and the answer.
        steps: how many reasoning steps it takes (2: the second needs the first's result).
        before: what is different in the project's files before the task begins.
        wanted: the files that must have changed afterwards; None where nobody can say.
        says: what must stand in the answer.
        code: whether the tools are called from code.
        verified: "tests" if the answer was only given because the project's tests passed.
    """

    kind: str
    prompt: str
    teacher: Callable[[], Teacher]
    steps: int = 1
    before: Files = field(default_factory=dict)
    wanted: Files | None = field(default_factory=dict)
    says: tuple[str, ...] = ()
    code: bool = False
    verified: Literal["", "tests"] = ""


@dataclass(frozen=True)
class TaskMaker:
    """Makes tasks about a project, for one part of a dataset.

    `held_out_words` asks for wording that training never shows; `past` is what was done in the
    turns before.
    """

    rng: Random
    names: Names
    project: Project
    held_out_words: bool = False
    part: PartName = "train"
    past: tuple[Transcript, ...] = ()

    def say(self, kind: str, /, *, opened: bool = True, **values: Any) -> str:
        """Put a request into words."""
        phrase = choose(self.rng, kind, held_out=self.held_out_words, part=self.part)
        return dress(self.rng, phrase.format(**values), opened=opened, fixed=phrase.startswith("{"))

    def shown(self, path: str) -> str:
        """Return a path as it is put into a request."""
        return quote(self.rng, path) if self.rng.random() < 0.25 else path

    def file(self) -> str:
        """Pick a file that is not empty."""
        return self.rng.choice(sorted(path for path, text in self.project.files.items() if text))

    def name(self) -> str:
        """Pick a name that the project defines."""
        constants = [constant.name for constant in self.project.constants]
        return self.rng.choice([*self.project.functions, *self.project.classes, *constants])

    def other_value(self, constant: Constant) -> str:
        """Return another value of a constant's kind, as source text."""
        if constant.value.startswith('"'):
            value = f'"{self.names.snake()}"'
        elif constant.value in ("True", "False"):
            value = "False" if constant.value == "True" else "True"
        else:
            value = str(self.names.number())
        return value if value != constant.value else str(self.names.number() + 10_000)

    def replacement(self, path: str) -> tuple[str, str]:
        """Pick a text that occurs once in the file, and another to put in its place."""
        text = self.project.files[path]
        words = [
            word
            for word in re.findall(r"[A-Za-z_]\w{2,}", text)
            if text.count(word) == 1 and not _KEYWORDS.fullmatch(word)
        ]
        lines = [
            line.strip()
            for line in text.splitlines()
            if 4 < len(line.strip()) < 40 and text.count(line.strip()) == 1
        ]
        if words and (self.rng.random() < 0.65 or not lines):
            old = self.rng.choice(words)
            new = self.names.constant() if old.isupper() else self.names.snake()
            return old, new
        if not lines:
            return self.names.snake(), self.names.snake()
        old = self.rng.choice(lines)
        tokens = [
            token for token in re.findall(r"\d+|[A-Za-z]\w*", old) if not _KEYWORDS.fullmatch(token)
        ]
        target = self.rng.choice(tokens) if tokens else old
        new = str(self.names.number()) if target.isdigit() else self.names.snake()
        changed = re.sub(rf"\b{re.escape(target)}\b", new, old, count=1)
        return old, changed if changed != old else f"{old} {self.names.word()}"


Family = Callable[[TaskMaker], Task | None]
"""Makes a task of its kind, or None if the project has nothing for it."""
