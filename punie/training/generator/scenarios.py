"""Tasks for the demonstration model, each with the teacher that solves it.

A teacher is a generator: it yields tool calls, is sent what the tool really returned, and returns
the final answer. Answers are made from those results alone, so that a model can learn to make them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from punie.training.generator.answers import (
    ABOUT,
    BEYOND_ME,
    GREETING,
    WELCOME,
    Call,
    Teacher,
    code,
    edit,
    failure,
    joined,
    length_answer,
    listing_answer,
    outcome_answer,
    places_answer,
)
from punie.training.generator.names import Names
from punie.training.generator.phrasing import (
    BEYOND,
    GREETINGS,
    IDENTITY,
    PHRASES,
    THANKS,
    choose,
    dress,
    quote,
)
from punie.training.generator.projects import Constant, Project


@dataclass(frozen=True)
class Task:
    """One request; `steps` counts the reasoning steps (2: the second needs the first's result)."""

    kind: str
    prompt: str
    teacher: Callable[[], Teacher]
    steps: int = 1


@dataclass(frozen=True)
class TaskMaker:
    """Makes tasks about a project. `held_out_words` asks for wording that training never shows."""

    rng: Random
    names: Names
    project: Project
    held_out_words: bool = False

    def _say(self, kind: str, **values: Any) -> str:
        phrase = choose(self.rng, PHRASES[kind], held_out=self.held_out_words)
        return dress(self.rng, phrase.format(**values))

    def _path(self, path: str) -> str:
        return quote(self.rng, path) if self.rng.random() < 0.25 else path

    def read(self) -> Task:
        """Read a whole file and say how long it is."""
        path = self.rng.choice(sorted(self.project.files))

        def teacher() -> Teacher:
            result = yield Call("read_file", {"path": path})
            return failure(result) or length_answer(path, result)

        return Task("read", self._say("read", path=self._path(path)), teacher)

    def read_missing(self) -> Task:
        """Ask for a file that is not there."""
        path = f"{self.rng.choice([*self.project.folders, 'src'])}/{self.names.snake()}.py"

        def teacher() -> Teacher:
            result = yield Call("read_file", {"path": path})
            return (
                length_answer(path, result) if failure(result) is None else f"There is no `{path}`."
            )

        return Task("read_missing", self._say("read", path=path), teacher)

    def read_range(self) -> Task:
        """Read some lines of a file."""
        path = self.rng.choice(sorted(self.project.files))
        count = self.project.files[path].count("\n")
        start = self.rng.randint(1, max(1, count - 1))
        end = self.rng.randint(start + 1, max(start + 1, count))

        def teacher() -> Teacher:
            result = yield Call("read_file", {"path": path, "start_line": start, "end_line": end})
            return failure(result) or f"These are lines {start} to {end} of `{path}`."

        prompt = self._say("read_range", path=self._path(path), start=start, end=end)
        return Task("read_range", prompt, teacher)

    def definitions(self) -> Task:
        """Name what a module defines."""
        path = self.rng.choice(self.project.modules)

        def teacher() -> Teacher:
            result = yield Call("read_file", {"path": path})
            found = re.findall(r"^\d+:(?:def|class) (\w+)", result, re.MULTILINE)
            if not found:
                return f"`{path}` defines no function or class."
            return f"`{path}` defines {joined([code(name) for name in found])}."

        return Task("definitions", self._say("definitions", path=self._path(path)), teacher, 2)

    def list_folder(self) -> Task:
        """List one folder, or the root where there is no other."""
        if not self.project.folders:
            return self.list_root()
        folder = self.rng.choice(self.project.folders)
        shown = folder + ("/" if self.rng.random() < 0.2 else "")

        def teacher() -> Teacher:
            result = yield Call("list_dir", {"path": folder})
            return failure(result) or listing_answer(f"`{folder}`", result)

        return Task("list", self._say("list", path=self._path(shown)), teacher)

    def list_root(self) -> Task:
        """List the project's root."""

        def teacher() -> Teacher:
            result = yield Call("list_dir", {"path": "."})
            return failure(result) or listing_answer("The project", result)

        return Task("list", self._say("list_root"), teacher)

    def search(self) -> Task:
        """Search for a name and say where it is."""
        name = self._some_name()
        if self.rng.random() < 0.15:
            name = self.names.snake()
        inside = self.project.folders and self.rng.random() < 0.3
        folder = self.rng.choice(self.project.folders) if inside else None
        arguments = {"pattern": name} | ({"path": folder} if folder else {})
        shown = quote(self.rng, name) if self.rng.random() < 0.3 else name

        def teacher() -> Teacher:
            result = yield Call("search", arguments)
            return failure(result) or places_answer(name, result)

        if folder:
            return Task("search", self._say("search_in", name=shown, folder=folder), teacher, 2)
        return Task("search", self._say("search", name=shown), teacher, 2)

    def defined(self) -> Task:
        """Find the file that defines a function or class."""
        name = self._defined_name()
        word = "class" if name in self.project.classes else "def"

        def teacher() -> Teacher:
            result = yield Call("search", {"pattern": f"{word} {name}"})
            match = re.match(r"(.+?):(\d+):", result)
            if match is None:
                return f"I found no definition of `{name}`."
            return f"`{name}` is defined in `{match[1]}` on line {match[2]}."

        label = ("class " if word == "class" else "function ") + name
        if word == "def" and self.rng.random() < 0.6:
            label = name
        return Task("defined", self._say("defined", name=label), teacher, 2)

    def value(self) -> Task:
        """Look up a constant anywhere in the project."""
        constant = self.rng.choice(self.project.constants)

        def teacher() -> Teacher:
            result = yield Call("search", {"pattern": f"{constant.name} ="})
            match = re.match(r"(.+?):\d+:\w+ = (.+)", result)
            if match is None:
                return f"I found no `{constant.name}`."
            return f"`{constant.name}` is {match[2]} in `{match[1]}`."

        return Task("value", self._say("value", name=constant.name), teacher, 2)

    def value_in(self) -> Task:
        """Look up a constant in a named file."""
        constant = self.rng.choice(self.project.constants)

        def teacher() -> Teacher:
            result = yield Call("read_file", {"path": constant.path})
            match = re.search(rf"^\d+:{constant.name} = (.+)$", result, re.MULTILINE)
            if match is None:
                return f"I found no `{constant.name}`."
            return f"`{constant.name}` is {match[1]} in `{constant.path}`."

        prompt = self._say("value_in", name=constant.name, path=self._path(constant.path))
        return Task("value_in", prompt, teacher, 2)

    def replace(self) -> Task:
        """Replace a given text in a given file."""
        path = self.rng.choice(sorted(self.project.files))
        old, new = self._replacement(path)

        def teacher() -> Teacher:
            return (yield from edit(path, [(old, new)]))

        always = self.rng.random() < 0.5
        prompt = self._say(
            "replace",
            path=self._path(path),
            old=quote(self.rng, old, always=always),
            new=quote(self.rng, new, always=always),
        )
        return Task("replace", prompt, teacher)

    def replace_two(self) -> Task:
        """Make two replacements in one call."""
        path = self.rng.choice(sorted(self.project.files))
        (old, new), (old2, new2) = self._replacement(path), self._replacement(path)
        if old in old2 or old2 in old or old in new2 or old2 in new:
            return self.replace()

        def teacher() -> Teacher:
            return (yield from edit(path, [(old, new), (old2, new2)]))

        texts = {"old": old, "new": new, "old2": old2, "new2": new2}
        quoted = {key: quote(self.rng, text, always=True) for key, text in texts.items()}
        return Task("replace", self._say("replace_two", path=path, **quoted), teacher)

    def set_in(self) -> Task:
        """Set a constant in a named file: read, then edit the line that is there."""
        constant = self.rng.choice(self.project.constants)
        value = self._other_value(constant)

        def teacher() -> Teacher:
            result = yield Call("read_file", {"path": constant.path})
            match = re.search(rf"^\d+:({constant.name} = .+)$", result, re.MULTILINE)
            if match is None:
                return f"I found no `{constant.name}` in `{constant.path}`."
            change = (match[1], f"{constant.name} = {value}")
            return (yield from edit(constant.path, [change]))

        prompt = self._say(
            "set_in", name=constant.name, path=self._path(constant.path), value=value
        )
        return Task("set_in", prompt, teacher, 2)

    def set_constant(self) -> Task:
        """Find a constant, then set it."""
        constant = self.rng.choice(self.project.constants)
        value = self._other_value(constant)

        def teacher() -> Teacher:
            result = yield Call("search", {"pattern": f"{constant.name} ="})
            match = re.match(r"(.+?):\d+:(\w+ = .+)", result)
            if match is None:
                return f"I found no `{constant.name}`."
            change = (match[2], f"{constant.name} = {value}")
            return (yield from edit(match[1], [change]))

        return Task("set", self._say("set", name=constant.name, value=value), teacher, 2)

    def rename(self) -> Task:
        """Find a function, then rename it where it is defined."""
        name = self.rng.choice(sorted(self.project.functions))
        new = self.names.snake()

        def teacher() -> Teacher:
            result = yield Call("search", {"pattern": f"def {name}"})
            match = re.match(r"(.+?):\d+:(def \w+)", result)
            if match is None:
                return f"I found no function `{name}`."
            return (yield from edit(match[1], [(f"def {name}", f"def {new}")]))

        return Task("rename", self._say("rename", name=name, new=new), teacher, 2)

    def write(self) -> Task:
        """Create a file with a given text, a function or a constant."""
        folder = self.rng.choice(["", *self.project.folders])
        suffix = self.rng.choice((".py", ".txt", ".md"))
        kind = self.rng.random()
        if kind < 0.5:
            suffix = ".py"
        path = f"{folder}/{self.names.snake()}{suffix}".lstrip("/")
        if kind < 0.25:
            name, value = self.names.snake(), self.names.number()
            content = f"def {name}():\n    return {value}\n"
            prompt = self._say("write_function", path=path, name=name, value=value)
        elif kind < 0.45:
            name, value = self.names.constant(), self.names.number()
            content = f"{name} = {value}\n"
            prompt = self._say("write_constant", path=path, name=name, value=value)
        else:
            text = self.names.phrase(1, 5)
            content = f"{text}\n"
            prompt = self._say("write", path=path, text=quote(self.rng, text, always=True))

        def teacher() -> Teacher:
            result = yield Call("write_file", {"path": path, "content": content})
            return failure(result) or f"Done: I wrote `{path}`."

        return Task("write", prompt, teacher)

    def run_command(self) -> Task:
        """Run a given command and say what it printed."""
        folder = self.rng.choice([*self.project.folders, "."])
        path = self.rng.choice(sorted(self.project.files))
        word = self.names.word()
        command = self.rng.choice(
            (
                f"ls {folder}", f"wc -l {path}", f"echo {self.names.phrase(1, 3)}",
                "pwd -P | wc -l",
                f"cat {path} | wc -l", f"test -d {folder}", f"head -n 1 {path}", f"ls {word}",
                f"grep -c {word} {path}", f"mkdir -p {word}", f"touch {word}.txt", f"false {word}",
            )
        )  # fmt: skip
        shown = quote(self.rng, command, always=self.rng.random() < 0.7)

        def teacher() -> Teacher:
            result = yield Call("run_command", {"command": command})
            return failure(result) or outcome_answer(command, result)

        return Task("run", self._say("run", command=shown), teacher)

    def run_script(self) -> Task:
        """Run one of the project's scripts."""
        path = self.rng.choice(self.project.scripts)

        def teacher() -> Teacher:
            result = yield Call("run_command", {"command": f"python3 {path}"})
            return failure(result) or outcome_answer(f"python3 {path}", result)

        return Task("run", self._say("run_script", path=self._path(path)), teacher)

    def run_tests(self) -> Task:
        """Run the tests."""

        def teacher() -> Teacher:
            result = yield Call("run_command", {"command": "python3 -m pytest -q"})
            return failure(result) or outcome_answer("python3 -m pytest -q", result)

        return Task("run_tests", self._say("run_tests"), teacher)

    def chat(self) -> Task:
        """Answer without a tool: a greeting, thanks, who it is, and what is beyond it."""
        phrases, answer = self.rng.choice(
            (
                (GREETINGS, GREETING), (THANKS, WELCOME), (IDENTITY, ABOUT),
                (BEYOND, BEYOND_ME), (BEYOND, BEYOND_ME), (BEYOND, BEYOND_ME),
            )
        )  # fmt: skip
        phrase = choose(self.rng, phrases, held_out=self.held_out_words)
        prompt = phrase.format(word=self.names.word(), word2=self.names.word())

        def teacher() -> Teacher:
            yield from ()
            return answer

        small_talk = phrases in (GREETINGS, THANKS)
        return Task("chat", dress(self.rng, prompt, opened=not small_talk), teacher)

    def _some_name(self) -> str:
        constants = [constant.name for constant in self.project.constants]
        return self.rng.choice([*self.project.functions, *self.project.classes, *constants])

    def _defined_name(self) -> str:
        return self.rng.choice([*self.project.functions, *self.project.classes])

    def _other_value(self, constant: Constant) -> str:
        if constant.value.startswith('"'):
            value = f'"{self.names.snake()}"'
        elif constant.value in ("True", "False"):
            value = "False" if constant.value == "True" else "True"
        else:
            value = str(self.names.number())
        return value if value != constant.value else str(self.names.number() + 10_000)

    def _replacement(self, path: str) -> tuple[str, str]:
        """Pick a text that occurs once in the file, and another to put in its place."""
        text = self.project.files[path]
        words = [w for w in re.findall(r"[A-Za-z_]\w{2,}", text) if text.count(w) == 1]
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
        tokens = re.findall(r"\d+|[A-Za-z]\w*", old)
        target = self.rng.choice(tokens) if tokens else old
        new = str(self.names.number()) if target.isdigit() else self.names.snake()
        changed = re.sub(rf"\b{re.escape(target)}\b", new, old, count=1)
        return old, changed if changed != old else f"{old} {self.names.word()}"


def make_task(maker: TaskMaker) -> Task:
    """Make one task of a random kind that the project allows."""
    kinds: list[tuple[Callable[[], Task], float]] = [
        (maker.read, 7), (maker.read_missing, 2), (maker.read_range, 6), (maker.list_folder, 5),
        (maker.list_root, 2), (maker.replace, 18), (maker.replace_two, 3), (maker.write, 9),
        (maker.run_command, 7), (maker.run_tests, 0.2), (maker.chat, 8), (maker.search, 9),
    ]  # fmt: skip
    if maker.project.functions or maker.project.classes:
        kinds += [(maker.defined, 8), (maker.definitions, 5)]
    if maker.project.functions:
        kinds += [(maker.rename, 9)]
    if maker.project.constants:
        kinds += [
            (maker.value, 4), (maker.value_in, 3), (maker.set_in, 6), (maker.set_constant, 8),
        ]  # fmt: skip
    if maker.project.scripts:
        kinds += [(maker.run_script, 4)]
    makers, weights = zip(*kinds, strict=True)
    make: Callable[[], Task] = maker.rng.choices(makers, weights)[0]
    return make()
