"""Whether the checks say of published packages what ruff, ty and pytest say themselves.

Every file of every package is linted, checked for types, fixed and formatted, by Punie's tool and
by the program alone; then each whole project is, and its own tests are run both ways. Every
difference is printed. Nothing is timed.

    python -m tests.bench.bench_real_projects_checks [PACKAGE...]
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from punie.tools.base import ReadLedger, ToolContext, ToolError, ToolLimits, ToolResult
from punie.workspace.local import LocalWorkspace
from tests.bench.real_projects import (
    NoIndexError,
    copied,
    own_tests,
    package_of,
    projects,
    python_files,
)
from tests.tools.conftest import tool_named

_TY_ROW = re.compile(r"(.+?):(\d+):\d+: \w+\[([\w-]+)\]", re.ASCII)
_LIMITS = ToolLimits(command_seconds=300.0)
_NO_PYTHON = ("VIRTUAL_ENV", "UV")

Row = tuple[str, int, str]
"""A path, a line and a rule."""


@dataclass
class Tally:
    """What was compared, and where the answers differ."""

    compared: Counter[str] = field(default_factory=Counter)
    problems: int = 0
    differences: list[str] = field(default_factory=list)

    def compare(self, what: str, where: str, ours: object, theirs: object) -> None:
        """Count a comparison and note a difference."""
        self.compared[what] += 1
        if ours != theirs:
            self.differences.append(f"{what} {where}:\n    ours   {ours}\n    theirs {theirs}")


def program(root: Path, name: str, *arguments: str) -> str:
    """Return what a program prints, run beside Punie's own Python."""
    environment = {key: value for key, value in os.environ.items() if key not in _NO_PYTHON}
    done = subprocess.run(
        [str(Path(sysconfig.get_path("scripts")) / name), *arguments],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def lint_rows(root: Path, path: str) -> list[Row]:
    """Return what ruff reports."""
    printed = program(root, "ruff", "check", "--no-cache", "--output-format=json", path)
    return [
        (
            os.path.relpath(each["filename"], root),
            each["location"]["row"],
            each["code"] or "invalid-syntax",
        )
        for each in json.loads(printed)
    ]


def type_rows(root: Path, path: str) -> list[Row]:
    """Return what ty reports, from its report for people."""
    printed = program(root, "ty", "check", "--no-progress", "--output-format=concise", path)
    found = (_TY_ROW.match(line) for line in printed.splitlines())
    return [(match[1], int(match[2]), match[3]) for match in found if match]


async def ask(root: Path, tool: str, **arguments: Any) -> ToolResult:
    """Call one of Punie's tools on a project."""
    workspace = LocalWorkspace([root])
    context = ToolContext(workspace, ReadLedger(), limits=_LIMITS)
    called = tool_named(tool)
    try:
        return await called.run(context, called.arguments.model_validate(arguments))
    finally:
        await workspace.aclose()


def told(result: ToolResult) -> list[Row]:
    """Return the problems of a result."""
    data: Any = result.data
    return [(each["path"], each["line"], each["rule"]) for each in data]


async def compare_reports(root: Path, paths: Iterable[str], tally: Tally) -> None:
    """Compare what is reported of each path."""
    for path in paths:
        for tool, theirs in (("lint", lint_rows), ("check_types", type_rows)):
            ours = told(await ask(root, tool, path=path))
            there = await anyio.to_thread.run_sync(theirs, root, path)
            # ruff reports the files of a folder in the order in which its threads are done.
            tally.compare(tool, f"{root.name}/{path}", sorted(ours), sorted(there))
            tally.problems += len(there)


async def compare_rewriting(
    project: Path, folder: Path, paths: list[str], tally: Tally, arguments: tuple[str, ...]
) -> None:
    """Compare what files are after a fix or a format; `arguments` are those of ruff."""
    tool, given = ("lint", {"fix": True}) if "check" in arguments else ("format", {})
    label = "fix" if given else "format"
    ours, theirs = (copied(project, folder / f"{label}-{side}") for side in ("ours", "theirs"))
    for path in paths:
        try:
            await ask(ours, tool, path=path, **given)
        except ToolError as error:
            print(f"  {label} {project.name}/{path}: {error}")
        await anyio.to_thread.run_sync(partial(program, theirs, "ruff", *arguments, path))
    for file in python_files(theirs):
        name = str(file.relative_to(theirs))
        tally.compare(
            label, f"{project.name}/{name}", (ours / name).read_bytes(), file.read_bytes()
        )


async def compare_tests(project: Path, folder: Path, tally: Tally) -> None:
    """Compare what is said of the project's own tests."""
    root = copied(project, folder / "tests")
    package = package_of(project)
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    options = "-p no:cacheprovider -o filterwarnings= -W ignore"
    python.write_text(
        f"#!/bin/sh\nexport PYTHONPATH='{root / package.source}' PYTHONDONTWRITEBYTECODE=1\n"
        f"export PYTEST_ADDOPTS='{options}'\nexec '{sys.executable}' \"$@\"\n"
    )
    python.chmod(0o755)
    data: Any = (await ask(root, "run_tests", paths=[package.tests])).data
    said = await anyio.to_thread.run_sync(own_tests, project)
    numbers = Counter({word: int(number) for number, word in re.findall(r"(\d+) (\w+)", said)})
    tally.compare(
        "run_tests",
        f"{project.name}: {said}",
        (data["passed"], data["failed"], data["skipped"]),
        (
            numbers["passed"] + numbers["xpassed"],
            numbers["failed"] + numbers["errors"] + numbers["error"],
            numbers["skipped"] + numbers["xfailed"],
        ),
    )


async def compare(project: Path) -> Tally:
    """Compare all that is said of a project."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        root = copied(project, folder / "reports")
        files = [str(file.relative_to(root)) for file in python_files(root)]
        fixing = ("check", "--no-cache", "--fix-only")
        formatting = ("format", "--no-cache")
        await compare_reports(root, [*files, "."], tally)
        for arguments in (fixing, formatting):
            await compare_rewriting(project, folder / "file", files, tally, arguments)
            await compare_rewriting(project, folder / "whole", ["."], tally, arguments)
        await compare_tests(project, folder, tally)
    return tally


def main() -> int:
    """Compare all projects; 1 when anything differs."""
    named = sys.argv[1:]
    try:
        found = projects()
    except NoIndexError as error:
        print(f"skipped: {error}")
        return 0
    different = 0
    for project in found:
        if named and package_of(project).name not in named:
            continue
        tally = anyio.run(compare, project)
        counts = ", ".join(f"{number} {what}" for what, number in sorted(tally.compared.items()))
        print(
            f"{project.name}: {counts}, with {tally.problems} problems; "
            f"{len(tally.differences)} different"
        )
        for difference in tally.differences:
            print(f"  {difference[:2_000]}")
        different += len(tally.differences)
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
