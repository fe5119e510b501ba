"""The tools for Python code on published packages, each answer held against its source's own.

symbols, definition and references against raw answers of the language server and against `ast`,
find_pattern against libcst's matchers, add_import against the syntax tree; and after every rename
the package's own tests have to come out as before it, with nothing changed but by the tool.

    python tests/bench/bench_real_projects.py [--renames NUMBER] [--only-renames] [NAME...]
"""

import argparse
import ast
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import libcst
from libcst import matchers as m

from punie.tools.base import AnyTool, ReadLedger, ToolContext, ToolError, ToolLimits
from punie.tools.catalog import ALL_TOOLS
from punie.tools.presentation import DiffContent
from punie.workspace.local import LocalWorkspace
from tests.bench.raw_lsp import RawServer
from tests.bench.real_projects import (
    PACKAGES,
    NoIndexError,
    copied,
    own_tests,
    package_of,
    projects,
    python_files,
)

ASKED_PER_FILE = 4
"""Names in each file whose definition and references are asked for."""

RENAMES = 10
"""Symbols of each package that are renamed."""

Matcher = m.BaseMatcherNode
PATTERNS: dict[str, Matcher] = {
    "isinstance($X, $Y)": m.Call(
        m.Name("isinstance"), [m.Arg(m.DoNotCare()), m.Arg(m.DoNotCare())]
    ),
    "$X.append(...)": m.Call(m.Attribute(attr=m.Name("append"))),
    "def $F(...): ...": m.FunctionDef(),
    "class $C: ...": m.ClassDef(),
    "raise $X": m.Raise(exc=~m.MatchIfTrue(lambda node: node is None), cause=None),
    "return None": m.Return(value=m.Name("None")),
    "$X is not None": m.Comparison(
        comparisons=[m.ComparisonTarget(operator=m.IsNot(), comparator=m.Name("None"))]
    ),
}


@dataclass
class Score:
    """Answers that were as they should be, of how many, and what was wrong with the others."""

    right: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def count(self, tool: str, *, right: bool, what: str) -> None:
        """Count one answer."""
        self.asked[tool] += 1
        self.right[tool] += right
        if not right:
            self.wrong.append(f"{tool}: {what}")


@dataclass(frozen=True)
class Bench:
    """The tools on a project, and where their answers are counted."""

    root: Path
    context: ToolContext
    score: Score

    async def data(self, name: str, **arguments: object) -> Any:
        """Return the data of a tool's answer."""
        tool = _tool(name)
        started = time.perf_counter()
        try:
            return (await tool.run(self.context, tool.arguments.model_validate(arguments))).data
        finally:
            self.score.seconds[name] += time.perf_counter() - started

    async def diffs(self, name: str, **arguments: object) -> list[DiffContent]:
        """Return the diffs that a tool would show before it is run."""
        tool = _tool(name)
        shown = await tool.present(self.context, tool.arguments.model_validate(arguments))
        return [each for each in shown.content if isinstance(each, DiffContent)]


def _tool(name: str) -> AnyTool:
    return next(tool for tool in ALL_TOOLS if tool.name == name)


def _flat(symbols: list[Any]) -> Iterator[tuple[int, str]]:
    for each in symbols:
        yield each["selectionRange"]["start"]["line"] + 1, each["name"]
        yield from _flat(each["children"])


def _definitions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of the functions and classes at the top and in classes."""
    bodies: list[list[ast.stmt]] = [tree.body]
    for body in bodies:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield node.lineno, node.name
            if isinstance(node, ast.ClassDef):
                bodies.append(node.body)


async def check_file(bench: Bench, raw: RawServer, path: Path) -> None:
    """Hold what the tools that look say of a file against what is so."""
    shown = path.relative_to(bench.root).as_posix()
    text = path.read_text()
    tree = ast.parse(text)
    uri = {"textDocument": {"uri": path.as_uri()}}
    expected = list(_flat(raw.ask("textDocument/documentSymbol", uri) or []))
    found = [
        (each["line"], each["name"].rpartition(".")[2])
        for each in await bench.data("symbols", path=shown)
    ]
    bench.score.count("symbols", right=found == expected, what=shown)
    missing = set(_definitions(tree)) - set(found)
    bench.score.count("symbols (ast)", right=not missing, what=f"{shown} {missing}")
    names = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]
    for node in names[:: max(1, len(names) // ASKED_PER_FILE)][:ASKED_PER_FILE]:
        line = text.split("\n")[node.lineno - 1]
        # The tool takes the first place on the line, as a model means it.
        column = _first_word(line, node.id)
        character = len(line[:column].encode("utf-16-le")) // 2
        where = {"symbol": node.id, "path": f"{shown}:{node.lineno}"}
        for tool, more in (
            ("definition", {}),
            ("references", {"context": {"includeDeclaration": True}}),
        ):
            answer = raw.at(tool, path, node.lineno - 1, character, **more)
            wanted = {(each["uri"], each["range"]["start"]["line"] + 1) for each in answer or []}
            told = {
                ((bench.root / each["path"]).as_uri(), each["line"])
                for each in await bench.data(tool, **where)
            }
            bench.score.count(tool, right=told == wanted, what=f"{where}")
    await check_import(bench, shown, tree)


def _first_word(line: str, word: str) -> int:
    match = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line)
    return match.start() if match else -1


async def check_import(bench: Bench, shown: str, tree: ast.Module) -> None:
    """See that an import is all that add_import changes, and that one that is there stays one."""
    statement = "from zipimport import zipimporter as unheard_of"
    (diff,) = await bench.diffs("add_import", path=shown, statement=statement)
    new = ast.parse(diff.new_text or "")
    added = [each for each in new.body if "unheard_of" in ast.unparse(each)]
    new.body.remove(added[0])
    same = ast.dump(new) == ast.dump(tree) and ast.unparse(added[0]) == statement
    bench.score.count("add_import", right=same and len(added) == 1, what=shown)
    there = [
        each
        for each in tree.body
        if isinstance(each, (ast.Import, ast.ImportFrom)) and ast.unparse(each)[-1] != "*"
    ]
    for each in there[:ASKED_PER_FILE]:
        arguments = {"path": shown, "statement": ast.unparse(each)}
        diffs = await bench.diffs("add_import", **arguments)
        bench.score.count("add_import again", right=not diffs, what=str(arguments))


async def check_patterns(bench: Bench, files: list[Path]) -> None:
    """Hold the number of matches in each file against that of libcst's matchers."""
    modules = {path: libcst.parse_module(path.read_text()) for path in files}
    for pattern, matcher in PATTERNS.items():
        found = Counter(
            bench.root / each["path"] for each in await bench.data("find_pattern", pattern=pattern)
        )
        for path, module in modules.items():
            wanted = len(m.findall(module, matcher))
            what = f"{pattern} in {path.name}: {found[path]} and not {wanted}"
            bench.score.count("find_pattern", right=found[path] == wanted, what=what)


Named = tuple[str, int, str]
"""Path, line and name."""


def _candidates(root: Path, number: int) -> Iterator[Named]:
    """Yield names that are worth changing, from all over the package, one of each kind in turn."""
    package = package_of(root)
    by_kind: dict[str, list[Named]] = {}
    exported = (root / package.source / package.name / "__init__.py").read_text()
    for path in python_files(root / package.source / package.name):
        if "test" in path.name or path.parent.name in ("tests", "_sandbox"):
            continue
        text = path.read_text()
        lines = text.split("\n")
        for node in ast.parse(text).body:
            for kind, line, name in _names(node, lines):
                owner = getattr(node, "name", name)
                if package.used_by_pytest and (owner in exported or not name.startswith("_")):
                    continue
                if len(name) > 2 and not name.startswith("__"):
                    listed = by_kind.setdefault(kind, [])
                    listed.append((path.relative_to(root).as_posix(), line, name))
    # A name that several modules give to something may have to be the same in all of them: the
    # tests of toolz hold the names of two of its modules against each other.
    top = [each for kind in ("function", "constant") for each in by_kind.get(kind, ())]
    modules = Counter(name for _, name in {(path, name) for path, _, name in top})
    by_kind["constant"] = [each for each in by_kind.get("constant", ()) if modules[each[2]] == 1]
    for index in range(number):
        for listed in filter(None, by_kind.values()):
            yield listed[(index * len(listed)) // number]


def _names(node: ast.stmt, lines: list[str]) -> Iterator[tuple[str, int, str]]:
    """Yield what a statement at the top of a module names: kind, line and name."""
    match node:
        case ast.FunctionDef():
            yield "function", node.lineno, node.name
            yield from _parameters(node, lines)
        case ast.ClassDef():
            yield "class", node.lineno, node.name
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("__"):
                    if not inner.decorator_list:
                        yield "method", inner.lineno, inner.name
                        yield from _parameters(inner, lines)
                elif isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                    for each in ast.walk(inner):
                        match each:
                            case ast.Attribute(attr=name, ctx=ast.Store()) if (
                                _first_word(lines[each.lineno - 1], name) > each.col_offset
                            ):
                                yield "attribute", each.lineno, name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            yield "constant", node.lineno, name
        case _:
            return


def _parameters(node: ast.FunctionDef, lines: list[str]) -> Iterator[tuple[str, int, str]]:
    for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
        if arg.arg not in ("self", "cls") and (
            _first_word(lines[arg.lineno - 1], arg.arg) == arg.col_offset
        ):
            yield "parameter", arg.lineno, arg.arg


async def check_renames(bench: Bench, number: int) -> None:
    """Rename symbols; after each the tests have to come out as before all of them."""
    before = own_tests(bench.root)
    done = 0
    tool = _tool("rename_symbol")
    tried: set[str] = set()
    for path, line, name in _candidates(bench.root, number):
        if done == number:
            break
        if name in tried:
            continue
        tried.add(name)
        new = f"{name}_renamed" if not name[0].isupper() else f"{name}Renamed"
        arguments = {"symbol": name, "path": f"{path}:{line}", "new_name": new}
        old_texts = {each: each.read_text() for each in python_files(bench.root)}
        started = time.perf_counter()
        try:
            result = await tool.run(bench.context, tool.arguments.model_validate(arguments))
        except ToolError as error:
            print(f"  rename {name} ({path}:{line}) refused: {error}")
            continue
        bench.score.seconds["rename_symbol"] += time.perf_counter() - started
        done += 1
        after = own_tests(bench.root)
        bench.context.reads.digests.clear()
        right = after == before
        bench.score.count("rename_symbol", right=right, what=f"{arguments}: {after}")
        rows = result.text.split("\n")
        verdict = "green by itself" if right else f"NOT GREEN: {after}"
        print(f"  rename {name} ({path}:{line}): {verdict}: {rows[0][:100]}")
        if not right:
            print("    " + "\n    ".join(rows[1:]))
            for each, text in old_texts.items():
                each.write_text(text)


async def run(project: Path, renames: int, only_renames: bool) -> Score:
    """Print and return what came of one project."""
    score = Score()
    with tempfile.TemporaryDirectory() as folder:
        root = copied(project, Path(folder))
        workspace = LocalWorkspace([root])
        limits = ToolLimits(result_chars=10_000_000)
        bench = Bench(root, ToolContext(workspace, ReadLedger(), limits), score)
        files = python_files(root)
        print(f"{project.name}: {len(files)} files")
        if not only_renames:
            with RawServer(root) as raw:
                for path in files:
                    await check_file(bench, raw, path)
            await check_patterns(bench, files)
        await check_renames(bench, renames)
        await workspace.aclose()
    for tool, asked in score.asked.items():
        taken = f", {score.seconds[tool] / asked:.3f} s each" if score.seconds[tool] else ""
        print(f"  {tool}: {score.right[tool]} of {asked} right{taken}")
    for line in score.wrong[:20]:
        print(f"  wrong: {line}")
    return score


def main() -> int:
    """Run all; 1 if an answer was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="which packages")
    parser.add_argument("--renames", type=int, default=RENAMES, help="how many of each package")
    parser.add_argument("--only-renames", action="store_true")
    given = parser.parse_args()
    named = given.names or [package.name for package in PACKAGES]
    try:
        found = [each for each in projects() if package_of(each).name in named]
    except NoIndexError as error:
        print(f"skipped: {error}")
        return 0
    scores = [anyio.run(run, project, given.renames, given.only_renames) for project in found]
    asked = sum(sum(score.asked.values()) for score in scores)
    wrong = sum(len(score.wrong) for score in scores)
    print(f"{asked} answers, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
