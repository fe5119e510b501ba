"""Generated packages with typed functions, uses across modules, tests and a git history."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from punie.training.generator.functions import Function, make_function
from punie.training.generator.names import Names
from punie.training.generator.projects import Constant, Project

_WHEN = "2026-01-05T10:00:00+0000"


@dataclass
class Package(Project):
    """A project with a package and its tests.

    `typed` are the functions with a meaning, `uses` the functions of a name that call it, by path.
    """

    name: str = ""
    typed: list[Function] = field(default_factory=list)
    uses: dict[str, list[str]] = field(default_factory=dict)
    author: str = ""
    subjects: tuple[str, str] = ("", "")

    def write(self, root: Path, changes: Mapping[str, str | None] | None = None) -> None:
        """Make the folder hold exactly these files, with changes to what its repository holds."""
        if not (root / ".git").exists():
            super().write(root)
            self._commit(root)
        super().write(root, changes)

    def _commit(self, root: Path) -> None:
        """Make a repository of two commits.

        Author and times are always the same, so that the commits' hashes are.
        """
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_DATE": _WHEN for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_NAME": self.author for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "somebody@example.org" for who in ("AUTHOR", "COMMITTER")},
        }

        def git(*arguments: str) -> None:
            subprocess.run(("git", *arguments), cwd=root, env=environment, check=True)

        git("init", "-q", "-b", "main")
        git("add", "--", *(path for path in self.files if path != "README.md"))
        git("commit", "-q", "-m", self.subjects[0])
        git("add", "--", ".")
        git("commit", "-q", "-m", self.subjects[1])

    def test_of(self, function: Function) -> str:
        """Return the path of the tests of a function's module."""
        return f"tests/test_{Path(function.path).stem}.py"


def make_package(rng: Random, *, held_out: bool = False) -> Package:
    """Generate a package of two to four modules with tests."""
    names = Names(rng, held_out)
    used: set[str] = {"total", "each", "count", "largest", "word", "tests", "print"}

    def fresh(kind: str) -> str:
        while True:
            name = str(getattr(names, kind)())
            # pytest would take the one for a test, and Python the other for its own module.
            known = name.lower().startswith("test") or name in sys.stdlib_module_names
            if (
                len(name) > 2
                and not known
                and not any(name in other or other in name for other in used)
            ):
                used.add(name)
                return name

    package = Package({}, name=fresh("word"), author=fresh("word"))
    package.files[f"{package.name}/__init__.py"] = ""
    for _ in range(rng.randint(2, 4)):
        _module(rng, names, package, f"{package.name}/{fresh('snake')}.py", fresh)
    _use_of_others(rng, package, f"{package.name}/{fresh('snake')}.py", fresh)
    package.files["pyproject.toml"] = (
        f'[project]\nname = "{package.name}"\nversion = "0.{rng.randrange(10)}.0"\n\n'
        '[tool.pytest.ini_options]\npythonpath = ["."]\n'
    )
    package.files["README.md"] = (
        f"# {package.name.capitalize()}\n\n"
        + "\n".join(f"{names.phrase(4, 8).capitalize()}." for _ in range(rng.randint(2, 5)))
        + "\n"
    )
    path = f"scripts/{fresh('snake')}.py"
    package.files[path] = "".join(f'print("{names.phrase(1, 3)}")\n' for _ in range(2))
    package.scripts.append(path)
    package.subjects = (f"Add {package.name}", f"Describe {names.phrase(1, 2)}")
    return package


def _module(rng: Random, names: Names, package: Package, path: str, fresh: object) -> None:
    assert callable(fresh)
    constants = [
        Constant(fresh("constant"), _value(rng, names), path) for _ in range(rng.choice((1, 1, 2)))
    ]
    functions = [
        make_function(rng, names, fresh("snake"), path) for _ in range(rng.choice((1, 2, 2, 3)))
    ]
    blocks = ["\n".join(constant.line for constant in constants) + "\n"]
    blocks += [function.text for function in functions]
    package.constants += constants
    package.typed += functions
    package.functions |= {function.name: path for function in functions}
    if rng.random() < 0.4:
        name, method, word = fresh("pascal"), fresh("word"), fresh("word")
        package.classes[name] = path
        blocks.append(
            f"class {name}:\n"
            f'    """Keeps the {word}."""\n\n'
            f"    def __init__(self, {word}: int) -> None:\n"
            f"        self.{word} = {word}\n\n"
            f"    def {method}(self) -> int:\n"
            f"        return self.{word} + {rng.randint(1, 50)}\n"
        )
    package.files[path] = "\n\n".join(blocks)
    module = path.removesuffix(".py").replace("/", ".")
    imported = ", ".join(sorted(function.name for function in functions))
    tests = "\n\n".join(
        f"def test_{each.name}() -> None:\n    assert {each.call} {_same(each.result)}\n"
        for each in functions
    )
    package.files[f"tests/test_{Path(path).stem}.py"] = (
        f"from {module} import {imported}\n\n\n{tests}"
    )


def _use_of_others(rng: Random, package: Package, path: str, fresh: object) -> None:
    """Add a module whose functions call some of the others."""
    assert callable(fresh)
    chosen = rng.sample(package.typed, min(len(package.typed), rng.randint(1, 3)))
    lines = sorted(
        f"from {each.path.removesuffix('.py').replace('/', '.')} import {each.name}"
        for each in chosen
    )
    blocks = ["\n".join(lines) + "\n"]
    for each in chosen:
        name = fresh("snake")
        package.functions[name] = path
        package.uses.setdefault(each.name, []).append(path)
        blocks.append(f"def {name}() -> None:\n    print({each.call})\n")
    package.files[path] = "\n\n".join(blocks)


def _same(result: str) -> str:
    return f"is {result}" if result in ("True", "False") else f"== {result}"


def _value(rng: Random, names: Names) -> str:
    return str(names.number()) if rng.random() < 0.7 else f'"{names.snake()}"'
