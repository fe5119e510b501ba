"""Small Python projects, generated: what the demonstration sessions act on."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from punie.training.generator.names import Names


@dataclass(frozen=True)
class Constant:
    """An assignment in a module; `value` is its source text."""

    name: str
    value: str
    path: str

    @property
    def line(self) -> str:
        """Return the whole source line."""
        return f"{self.name} = {self.value}"


@dataclass
class Project:
    """Files by relative path, and what is in them, so that tasks can ask about it.

    `functions` and `classes` give each name its path; every such name occurs in one module only.
    """

    files: dict[str, str]
    functions: dict[str, str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    constants: list[Constant] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)

    @property
    def folders(self) -> list[str]:
        """Return the folders, without the root."""
        return sorted({str(Path(p).parent) for p in self.files} - {"."})

    @property
    def modules(self) -> list[str]:
        """Return the Python files that define something."""
        return sorted(
            {*self.functions.values(), *self.classes.values(), *(c.path for c in self.constants)}
        )

    def write(self, root: Path, changes: Mapping[str, str | None] | None = None) -> None:
        """Make the folder hold exactly these files, with changes; None is a file that is not.

        A git repository in it stays.
        """
        whole = {**self.files, **(changes or {})}
        files = {path: text for path, text in whole.items() if text is not None}
        for path in sorted(root.rglob("*"), reverse=True):
            if ".git" in path.relative_to(root).parts:
                continue
            if path.is_dir():
                with suppress(OSError):  # folders that still hold files stay
                    path.rmdir()
            elif str(path.relative_to(root)) not in files:
                path.unlink()
        for name, text in files.items():
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


def make_project(rng: Random, *, held_out: bool = False) -> Project:
    """Generate a project of three to eight small files."""
    names = Names(rng, held_out)
    project = Project({})
    used: set[str] = set()

    def fresh(make: Callable[[], str]) -> str:
        for _ in range(50):
            name = make()
            if len(name) > 2 and not any(name in other or other in name for other in used):
                used.add(name)
                return name
        raise RuntimeError("no fresh name found")

    folders = [rng.choice(("src", "app", "lib", "core", fresh(names.word)))]
    if rng.random() < 0.5:
        folders.append(f"{folders[0]}/{fresh(names.word)}")
    if rng.random() < 0.3:
        folders.append("")
    for _ in range(rng.randint(2, 4)):
        folder = rng.choice(folders)
        path = f"{folder}/{fresh(names.snake)}.py".lstrip("/")
        project.files[path] = _module(rng, names, project, path, fresh)
    _extras(rng, names, project, fresh)
    return project


def _value(rng: Random, names: Names) -> str:
    kind = rng.random()
    if kind < 0.6:
        return str(names.number())
    if kind < 0.85:
        return f'"{names.snake()}"'
    return rng.choice(("True", "False", f"{rng.randrange(10)}.{rng.randrange(1, 100)}"))


def _function(rng: Random, names: Names, name: str, indent: str = "") -> list[str]:
    arguments = [names.word() for _ in range(rng.choice((0, 1, 1, 2)))]
    arguments = list(dict.fromkeys(arguments))
    body = rng.choice(("return", "print", "assign"))
    subject = arguments[0] if arguments else str(names.number())
    if indent:
        arguments.insert(0, "self")
    lines = [f"{indent}def {name}({', '.join(arguments)}):"]
    if body == "return":
        lines.append(f"{indent}    return {subject} {rng.choice('+-*')} {names.number()}")
    elif body == "print":
        lines.append(f'{indent}    print("{names.phrase(1, 3)}", {subject})')
    else:
        local = names.word()
        lines.append(f"{indent}    {local} = {subject}")
        lines.append(f"{indent}    return {local}")
    return lines


def _module(
    rng: Random,
    names: Names,
    project: Project,
    path: str,
    fresh: Callable[[Callable[[], str]], str],
) -> str:
    blocks: list[list[str]] = []
    if rng.random() < 0.3:
        blocks.append([f'"""{names.phrase().capitalize()}."""'])
    constants = [
        Constant(fresh(names.constant), _value(rng, names), path)
        for _ in range(rng.choice((0, 1, 1, 2)))
    ]
    if constants:
        blocks.append([constant.line for constant in constants])
        project.constants.extend(constants)
    functions = rng.choice((0, 1, 1, 2, 3, 5) if constants else (1, 1, 2, 3, 4))
    for _ in range(functions):
        name = fresh(names.snake)
        blocks.append(_function(rng, names, name))
        project.functions[name] = path
    if rng.random() < 0.3:
        name = fresh(names.pascal)
        project.classes[name] = path
        blocks.append([f"class {name}:", *_function(rng, names, names.word(), "    ")])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _extras(
    rng: Random,
    names: Names,
    project: Project,
    fresh: Callable[[Callable[[], str]], str],
) -> None:
    if rng.random() < 0.6:
        path = f"{rng.choice(('scripts', 'tools', 'bin'))}/{fresh(names.snake)}.py"
        if rng.random() < 0.75:
            text = "".join(f'print("{names.phrase(1, 3)}")\n' for _ in range(rng.choice((1, 1, 2))))
        else:
            error = rng.choice(("ValueError", "KeyError", "RuntimeError", "TypeError"))
            text = f'raise {error}("{names.phrase(1, 3)}")\n'
        project.files[path] = text
        project.scripts.append(path)
    if rng.random() < 0.5:
        name = rng.choice(("README.md", "NOTES.txt", "TODO.md", f"docs/{fresh(names.snake)}.md"))
        lines = [names.phrase(2, 5).capitalize() + "." for _ in range(rng.randint(1, 4))]
        project.files[name] = "\n".join([f"# {names.phrase(1, 2).capitalize()}", *lines]) + "\n"
    if rng.random() < 0.2:
        left, right = rng.randrange(1, 50), rng.randrange(1, 50)
        shown = left + right + (rng.random() < 0.3)
        project.files[f"tests/test_{fresh(names.snake)}.py"] = (
            f"def test_{names.word()}():\n    assert {left} + {right} == {shown}\n"
        )
    chance = rng.random()
    if chance < 0.18:
        path = f"data/{fresh(names.word)}.txt"
        length = rng.randint(90, 140) if chance < 0.06 else rng.randint(8, 60)
        rows = (f"{names.word()} {names.number()}\n" for _ in range(length))
        project.files[path] = "".join(rows)
    if rng.random() < 0.3:
        project.files["pyproject.toml"] = (
            f'[project]\nname = "{names.snake()}"\nversion = "0.{rng.randrange(10)}.0"\n'
        )
