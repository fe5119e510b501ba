"""What pytest joins by name: fixtures and the parameters that ask for them, and parametrize."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from punie.tools.base import ToolError
from punie.tools.python.namings import column_in, parsed
from punie.tools.python.rename_state import Search, in_project
from punie.tools.python.rename_strings import text_column
from punie.workspace.lsp.model import Point

_OF_PYTEST = {
    *("cache", "capfd", "capfdbinary", "caplog", "capsys", "capsysbinary", "doctest_namespace"),
    *("monkeypatch", "pytestconfig", "record_property", "record_testsuite_property", "recwarn"),
    *("request", "subtests", "testdir", "tmp_path", "tmp_path_factory", "tmpdir", "pytester"),
}
_TESTS = re.compile(r"test_.*\.py|.*_test\.py")
_ASKING = {"usefixtures", "getfixturevalue"}
_GIVING = {"given", "example"}

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Joined:
    """Places that go together: symbols of their own, and names in decorators' arguments."""

    symbols: list[Point] = field(default_factory=list)
    names: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class _Use:
    """A function that has the name as a parameter, or is a fixture of that name."""

    path: Path
    point: Point
    node: _Function
    is_fixture: bool


def joined(search: Search) -> Joined:
    """Return what pytest joins with the places that are meant; raise `ToolError` for its own."""
    uses: list[_Use] = []
    trees: dict[Path, ast.Module] = {}
    for path, file in search.files.items():
        tree = parsed(file.text) if in_project(search, path) else None
        if tree is not None:
            trees[path] = tree
            uses += _uses(search, path, tree)
    found = Joined()
    for use in uses:
        if use.point in search.edits and not use.is_fixture:
            found.names += _parametrized(search, use)
    meant = [use for use in uses if use.point in search.edits and not _parametrized(search, use)]
    if not meant:
        return found
    fixtures = [use for use in uses if use.is_fixture]
    for use in meant:
        if not any(_sees(use.path, each) for each in fixtures) and _asks_others(search, use):
            shown = search.context.workspace.display(use.path)
            raise ToolError(
                f"{shown}:{use.point.line} gets {search.old} by its name from a fixture that is "
                "not the project's"
            )
    # A fixture that is overridden, and those that override it, have one name.
    reached = [each for each in fixtures if any(_sees(use.path, each) for use in meant)]
    reached += [use for use in meant if use.is_fixture]
    for use in uses:
        if any(_sees(use.path, each) for each in reached) and (
            use.is_fixture or not _parametrized(search, use)
        ):
            found.symbols.append(use.point)
    for path, tree in trees.items():
        if any(_sees(path, each) for each in reached):
            found.names += _asked_for(search, path, tree)
    return found


def _asks_others(search: Search, use: _Use) -> bool:
    """Tell whether only a fixture of pytest or a plugin can give a test what it asks for."""
    if use.is_fixture or not _TESTS.fullmatch(use.path.name):
        return search.old in _OF_PYTEST and not use.is_fixture
    arguments = use.node.args
    needed = [*arguments.posonlyargs, *arguments.args]
    needed = needed[: len(needed) - len(arguments.defaults)]
    marked = all("mark." in ast.unparse(each) for each in use.node.decorator_list)
    return marked and any(each.arg == search.old for each in needed)


def _sees(path: Path, fixture: _Use) -> bool:
    """Tell whether the tests of a file get a fixture without an import."""
    if fixture.path.name == "conftest.py":
        return path.is_relative_to(fixture.path.parent)
    return path == fixture.path


def _uses(search: Search, path: Path, tree: ast.Module) -> Iterator[_Use]:
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        is_fixture = any(_name(each) == "fixture" for each in node.decorator_list)
        if is_fixture and node.name == search.old and not _renamed(node):
            line = search.line(path, node.lineno)
            start = column_in(line, node.col_offset)
            column = line.find(search.old, line.find("def ", start) + len("def "))
            yield _Use(path, Point(path, node.lineno, column), node, is_fixture=True)
        if is_fixture or node.name.startswith("test"):
            for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                if arg.arg == search.old:
                    column = column_in(search.line(path, arg.lineno), arg.col_offset)
                    yield _Use(path, Point(path, arg.lineno, column), node, is_fixture=False)


def _name(decorator: ast.expr) -> str:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _renamed(node: _Function) -> bool:
    """Tell whether a fixture has another name than its function."""
    return any(
        isinstance(each, ast.Call) and any(keyword.arg == "name" for keyword in each.keywords)
        for each in node.decorator_list
    )


def _parametrized(search: Search, use: _Use) -> list[Point]:
    """Return where the decorators of a function give values to the parameter."""
    found: list[Point] = []
    for each in use.node.decorator_list:
        if not isinstance(each, ast.Call):
            continue
        if _name(each) == "parametrize":
            named = [*each.args[:1], *(k.value for k in each.keywords if k.arg != "ids")]
            for value in named:
                found += _words(search, use.path, value)
        elif _name(each) in _GIVING:
            found += [
                Point(use.path, k.lineno, column_in(search.line(use.path, k.lineno), k.col_offset))
                for k in each.keywords
                if k.arg == search.old
            ]
    return found


def _words(search: Search, path: Path, value: ast.expr) -> Iterator[Point]:
    """Yield where the name stands in a string of names, or in a list of such strings."""
    listed = value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]
    for each in listed:
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            column = text_column(search, path, each)
            match = re.search(rf"(?<!\w){re.escape(search.old)}(?!\w)", each.value)
            if match and column is not None:
                yield Point(path, each.lineno, column + match.start())


def _asked_for(search: Search, path: Path, tree: ast.Module) -> Iterator[Point]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) in _ASKING:
            for value in node.args:
                if isinstance(value, ast.Constant) and value.value == search.old:
                    yield from _words(search, path, value)
