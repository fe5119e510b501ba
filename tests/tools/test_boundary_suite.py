"""Every tool that takes a path, with hundreds of paths that try to lead out of the project."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from punie.tools.base import ReadLedger, ToolContext, ToolError
from punie.tools.catalog import ALL_TOOLS
from punie.workspace.base import WorkspaceError
from punie.workspace.local import LocalWorkspace
from tests.tools.conftest import tool_named
from tests.tools.path_tricks import CANARY, CANARY_NAME, build_project, path_tricks

pytestmark = pytest.mark.anyio

Arguments = dict[str, Any]

EDITS = [{"old_text": CANARY, "new_text": "changed"}]
PATCH = "--- {0}\n+++ {0}\n@@ -1 +1 @@\n-{1}\n+changed\n"

# Each way in which a tool is given a path. A new tool has to be entered here, or below.
PATHS: dict[str, tuple[Callable[[str], Arguments], ...]] = {
    "read_file": (lambda path: {"path": path}, lambda path: {"path": path, "start_line": 1}),
    "list_dir": (lambda path: {"path": path},),
    "find_files": (lambda path: {"pattern": "*", "path": path},),
    "search": (lambda path: {"pattern": "canary", "path": path},),
    "edit_file": (lambda path: {"path": path, "edits": EDITS},),
    "write_file": (lambda path: {"path": path, "content": "changed\n"},),
    "apply_patch": (
        lambda path: {"patch": PATCH.format(path, CANARY)},
        lambda path: {"patch": f"--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+changed\n"},
        lambda path: {"patch": f"*** Begin Patch\n*** Delete File: {path}\n*** End Patch\n"},
    ),
    "move": (
        lambda path: {"path": path, "to": "got"},
        lambda path: {"path": "notes.txt", "to": path},
    ),
    "delete": (lambda path: {"path": path},),
    "symbols": (lambda path: {"path": path},),
    "definition": (lambda path: {"symbol": "a", "path": path},),
    "references": (lambda path: {"symbol": "a", "path": path},),
    "hover": (lambda path: {"symbol": "a", "path": path},),
    "rename_symbol": (lambda path: {"symbol": "a", "path": path, "new_name": "b"},),
    "find_pattern": (lambda path: {"pattern": "a", "path": path},),
    "add_import": (lambda path: {"path": path, "statement": "import os"},),
    "run_tests": (lambda path: {"paths": [path]}, lambda path: {"paths": [f"{path}::test_x"]}),
    "check_types": (lambda path: {"path": path},),
    "lint": (lambda path: {"path": path}, lambda path: {"path": path, "fix": True}),
    "format": (lambda path: {"path": path},),
    "validate": (lambda path: {"path": path},),
    "git": tuple(
        lambda path, command=command: {"command": command, "path": path}  # type: ignore[misc]
        for command in ("diff", "log", "blame", "show")
    ),
}
# These start programs, so they are only tried with what does not even resolve.
STARTING = {
    *("symbols", "definition", "references", "hover", "rename_symbol", "run_tests", "check_types"),
    *("lint", "format", "validate", "git", "find_files", "search", "find_pattern"),
}
# What a command may do is up to the rules and the sandbox.
NO_PATHS = {"run_command", "command_output", "update_plan", "ask_user", "explore"}


def test_every_tool_is_tried() -> None:
    names = {tool.name for tool in ALL_TOOLS}
    assert names == {*PATHS, *NO_PATHS} & names, "a new tool needs its paths tried"
    for tool in ALL_TOOLS:
        taken = {"path", "paths", "to", "file", "folder"} & set(tool.arguments.model_fields)
        assert not taken or tool.name in PATHS


def test_what_shows_or_changes_files_says_which() -> None:
    # Names and findings, without the text of any file but Python's own.
    quiet = {"list_dir", "find_files", "validate"}
    for name in set(PATHS) - quiet:
        assert tool_named(name).subject is not None, f"{name} needs a subject"


@dataclass
class Trial:
    root: Path
    outside: Path
    context: ToolContext

    def resolves(self, path: str) -> bool:
        try:
            found = self.context.workspace.resolve(path)
        except WorkspaceError:
            return False
        assert found.is_relative_to(self.root)
        return True

    async def told(self, name: str, arguments: Arguments) -> str:
        """Return all that a call tells; presenting it is tried as well as running it."""
        tool = tool_named(name)
        told: list[str] = []
        try:
            parsed = tool.arguments.model_validate(arguments)
        except ValidationError:
            return "refused"
        for use in (tool.present, tool.run):
            try:
                told.append(repr(await use(self.context, parsed)))
            except ToolError as error:
                told.append(f"error: {error}")
        return "\n".join(told)

    def unharmed(self) -> bool:
        [only] = self.outside.iterdir()
        return only.name == CANARY_NAME and only.read_text() == f"{CANARY}\n"


@pytest.fixture
async def trial(tmp_path: Path) -> AsyncIterator[Trial]:
    root, outside = build_project(tmp_path)
    workspace = LocalWorkspace([root])
    yield Trial(root, outside, ToolContext(workspace, ReadLedger()))
    await workspace.aclose()


async def test_there_are_hundreds(trial: Trial) -> None:
    tricks = path_tricks(trial.root, trial.outside)
    assert len(tricks) > 300
    assert sum(not trial.resolves(trick) for trick in tricks) > 200


@pytest.mark.parametrize("name", sorted(PATHS))
async def test_no_path_leads_out(trial: Trial, name: str) -> None:
    for trick in path_tricks(trial.root, trial.outside):
        resolves = trial.resolves(trick)
        if resolves and name in STARTING:
            continue
        for shape in PATHS[name]:
            told = await trial.told(name, shape(trick))
            meant = resolves or not trick.strip()
            assert told == "refused" or meant or "error: " in told, (trick, told)
            # An edit quotes what it looks for; had it found it, the file would be another.
            assert name in ("edit_file", "apply_patch") or CANARY not in told, (trick, told)
            # A name that is there without having been in the path would be a leak too.
            assert meant or CANARY_NAME not in told.replace(trick, "") or CANARY_NAME in trick
            assert trial.unharmed(), (trick, shape(trick))


async def test_links_met_on_the_way_are_not_followed(trial: Trial) -> None:
    for name, arguments in {
        "search": {"pattern": "canary", "path": "."},
        "find_files": {"pattern": CANARY_NAME, "path": "."},
        "list_dir": {"path": "."},
        "validate": {"path": "."},
        "lint": {"path": "."},
        "format": {"path": "."},
    }.items():
        told = await trial.told(name, arguments)
        assert CANARY not in told
        assert f"{CANARY_NAME}:" not in told
        assert trial.unharmed()
