"""The repository around a path, and running git in it without running anything it configures.

A repository that came from elsewhere brings its own configuration, and much of that names programs
that even reading commands start: a file system monitor, content filters, external diffs, text
converters, hooks, transports that fetch missing objects. None of them runs here, except filters
that the user's own configuration defines, such as git-lfs.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread

from punie.tools.base import ToolContext, ToolError
from punie.workspace.base import ProgramRequest, ProgramResult, WorkspaceError
from punie.workspace.boundary import visible_name
from punie.workspace.git_environment import git_environment

TIMEOUT_SECONDS = 30.0

_LINKLESS = ("refs", "info", "objects/info")
_MAY_LEAD_OUT = {"hooks", "config", "description"}
_USERS_SCOPES = {"system", "global", "command"}
_PROGRAM = re.compile(
    r"hook\..*\.(?:command|event)|filter\..*\.(?:clean|smudge|process|required)|diff\..*\.(?:command|textconv)"
    r"|core\.virtualfilesystem",
    re.DOTALL,
)
_TOO_OLD = "git is too old to be run safely; version 2.31 or newer is needed"


@dataclass(frozen=True)
class Repository:
    """A repository with files, as far as the workspace shows it.

    `top` is the folder of its work tree and `path` what was asked about, relative to `top`, with
    slashes, "" for all of it. A repository that is larger than the workspace has `outer`, the
    workspace's place in it with a slash at its end, and `path` is never outside of that. `shown`
    goes before a path of git's, less `outer`, to make it one of the workspace. `settings`
    override those of the repository.
    """

    git: Path
    top: Path
    path: str
    outer: str = ""
    shown: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def display(self, name: str) -> str:
        """Return a path of git's, relative to `top`, as the workspace shows it."""
        return self.shown + visible_name(name.removeprefix(self.outer))


async def find_repository(context: ToolContext, path: Path) -> Repository:
    """Return the repository that a path of the workspace belongs to.

    Raises `ToolError` if there is none, or none that may be read.
    """
    git = await _find_git(context)
    folder, found = await _discover(context, git, path)
    if found.exit_code != 0:
        if "bare repository" in found.stderr:
            raise ToolError("this folder holds a repository's data and no files of a work tree")
        raise ToolError(_reason(found.stderr))
    lines = found.stdout.removesuffix("\n").split("\n")
    if len(lines) != 5 or lines[0] != "true":
        raise ToolError("this folder is not inside the files of a git repository")
    _, toplevel, prefix, git_folder, data_folder = lines
    root = next(root for root in context.workspace.roots if path.is_relative_to(root))
    below_root = _with_slash(folder.relative_to(root).as_posix())
    # Both end at the folder that git was run in: the longer one tells who is inside of whom.
    if prefix.endswith(below_root):
        outer, nested = prefix.removesuffix(below_root), ""
    elif below_root.endswith(prefix):
        outer, nested = "", below_root.removesuffix(prefix)
    else:
        raise ToolError("the files of this git repository lie outside the workspace")
    top = Path(toplevel)
    real_root = top / outer if outer else Path(toplevel.removesuffix(f"/{nested[:-1]}"))
    places = (Path(git_folder), Path(data_folder))
    if not all(place == top / ".git" or place.is_relative_to(real_root) for place in places):
        await _refuse_foreign(context, git, folder, top, *places)
    await anyio.to_thread.run_sync(_refuse_links, places)
    first = "" if root == context.workspace.roots[0] else _with_slash(str(root))
    return Repository(
        git=git,
        top=top,
        path=(prefix + _with_slash(path.relative_to(folder).as_posix())).removesuffix("/"),
        outer=outer,
        shown=first + visible_name(nested),
        settings=await _settings(context, git, folder),
    )


async def _discover(context: ToolContext, git: Path, path: Path) -> tuple[Path, ProgramResult]:
    """Ask git about the nearest folder there is; return that folder and what git said."""
    arguments = ("--is-inside-work-tree", "--show-toplevel", "--show-prefix", "--absolute-git-dir")
    folder = path
    while True:
        try:
            return folder, await _run(
                context,
                git,
                folder,
                ["rev-parse", "--path-format=absolute", *arguments, "--git-common-dir"],
            )
        except WorkspaceError:
            if folder in context.workspace.roots:
                raise
            folder = folder.parent


async def run_git(
    context: ToolContext,
    repository: Repository,
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    output_limit: int = 8_000_000,
) -> ProgramResult:
    """Run git in the repository's top folder and return what it did, whatever that was."""
    return await _run(
        context,
        repository.git,
        repository.top,
        arguments,
        repository.settings,
        stdin=stdin,
        output_limit=output_limit,
    )


async def ask_git(
    context: ToolContext, repository: Repository, arguments: Sequence[str], *, stdin: bytes = b""
) -> str:
    """Run git and return its output; raise `ToolError` with its reason if it failed."""
    result = await run_git(context, repository, arguments, stdin=stdin)
    if result.exit_code != 0:
        if result.timed_out:
            raise ToolError(f"git took longer than {TIMEOUT_SECONDS:.0f} seconds; narrow the path")
        if result.flooded:
            raise ToolError("git has too much to say about this; narrow the path")
        if result.exit_code is None:
            raise ToolError("git filled the memory and was ended")
        raise ToolError(_reason(result.stderr))
    return result.stdout


def legible(text: str) -> str:
    """Return what git printed with a replacement character for every byte that is not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def _find_git(context: ToolContext) -> Path:
    git = await context.workspace.find_program("git", "trusted")
    if git is None:
        raise ToolError("git is not installed on this machine")
    return git


async def _run(
    context: ToolContext,
    git: Path,
    folder: Path,
    arguments: Sequence[str],
    settings: Mapping[str, str] | None = None,
    *,
    stdin: bytes = b"",
    output_limit: int = 8_000_000,
) -> ProgramResult:
    return await context.workspace.run_program(
        ProgramRequest(
            (str(git), "--no-pager", *arguments),
            folder,
            TIMEOUT_SECONDS,
            stdin=stdin,
            output_limit=output_limit,
            environment=git_environment(settings),
            memory_bounded=True,
        )
    )


async def _settings(context: ToolContext, git: Path, folder: Path) -> dict[str, str]:
    """Return settings that switch off the programs which the repository itself configures."""
    listed = await _run(
        context, git, folder, ["config", "--list", "-z", "--show-scope", "--name-only"]
    )
    if listed.exit_code != 0:
        if "show-scope" in listed.stderr:
            raise ToolError(_TOO_OLD)
        raise ToolError(_reason(listed.stderr))
    words = listed.stdout.split("\0")
    entries = list(zip(words[::2], words[1::2], strict=False))
    if ("command", "core.fsmonitor") not in entries:
        raise ToolError(_TOO_OLD)
    return {
        name: "false" if name.endswith(".required") else ""
        for scope, name in entries
        if scope not in _USERS_SCOPES and _PROGRAM.fullmatch(name)
    }


async def _refuse_foreign(
    context: ToolContext, git: Path, folder: Path, top: Path, own: Path, data: Path
) -> None:
    """Raise `ToolError` if the folder's `.git` leads to a repository that does not know of it.

    The history of any other repository could else be read from here. Linked work trees and
    submodules have their data elsewhere too, and there it says which folder it belongs to.
    """
    worktrees = await _run(context, git, folder, ["worktree", "list", "--porcelain"])
    if f"worktree {top}" in worktrees.stdout.split("\n"):
        return
    said = ["config", "--file", str(own / "config"), "core.worktree"]
    belongs = (await _run(context, git, folder, said)).stdout.removesuffix("\n")
    if belongs and own == data and Path(os.path.normpath(own / belongs)) == top:
        return
    raise ToolError(
        "the .git of this folder leads to another repository outside the workspace, which is not "
        "read"
    )


def _refuse_links(places: Sequence[Path]) -> None:
    """Raise `ToolError` if a file of a repository's own data is a link that leads out of it.

    Of what is no repository's data git quotes a line, and a branch of another one it shows. Blocks.
    """
    real = tuple(dict.fromkeys(Path(os.path.realpath(place)) for place in places))
    folders = [(place, name) for place in real for name in ("", *_LINKLESS)]
    while folders:
        place, name = folders.pop()
        try:
            with os.scandir(place / name) as entries:
                listed = list(entries)
        except OSError:
            continue
        for entry in listed:
            below = f"{name}/{entry.name}".removeprefix("/")
            if entry.is_symlink() and below not in _MAY_LEAD_OUT:
                target = Path(os.path.realpath(entry.path))
                if not any(target.is_relative_to(each) for each in real):
                    raise ToolError(
                        f"{visible_name(below)} in the .git of this folder is a link that leads "
                        "elsewhere, which is not read"
                    )
            elif name.startswith("refs") and entry.is_dir(follow_symlinks=False):
                folders.append((place, below))


def _with_slash(folder: str) -> str:
    return "" if folder == "." else f"{folder}/"


def _reason(stderr: str) -> str:
    """Return one sentence on why git failed."""
    if "not a git repository" in stderr:
        return "this folder is not in a git repository"
    if "dubious ownership" in stderr:
        return (
            "git does not trust this repository, because its folder belongs to another user; the "
            "user can change that with git config --global --add safe.directory"
        )
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("fatal: ")), lines[0] if lines else "")
    cause = said.removeprefix("fatal: ").encode("utf-8", "replace").decode()
    return f"git failed: {cause[:300]}" if cause else "git failed without a reason"
