"""The frozen project that the suites about tools work in, with the history of its repository."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suites.frozen import frozen, write_files

_GIT_SECONDS = 60.0


@dataclass(frozen=True)
class Commit:
    """What one commit adds or replaces; `date` is in seconds since 1970."""

    message: str
    author: str
    date: int
    files: Mapping[str, str]


@dataclass(frozen=True)
class FrozenProject:
    """A project that never changes: its commits, and the files that are not committed."""

    commits: Sequence[Commit]
    working: Mapping[str, str]

    @property
    def files(self) -> dict[str, str]:
        """All files as they lie in the folder, by path."""
        committed = {path: text for each in self.commits for path, text in each.files.items()}
        return {**committed, **self.working}


@cache
def parcels() -> FrozenProject:
    """Return the project."""
    raw = frozen("data/parcels")
    return FrozenProject(
        commits=tuple(Commit(**commit) for commit in raw["commits"]), working=raw["working"]
    )


def write_parcels(root: Path, files: Mapping[str, str] | None = None) -> None:
    """Write the project into an empty folder, with its repository.

    `files` are those that lie there; without them the project's own. Of others the repository knows
    nothing. Raises `EvaluationError` if git is not there or fails.
    """
    write_repository(root, _parcels_repository())
    write_files(root, parcels().files if files is None else files)


def write_repository(root: Path, repository: Mapping[str, bytes]) -> None:
    """Write what `made_repository` returned into a folder."""
    for path, data in repository.items():
        file = root / ".git" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    for folder in ("objects/info", "refs/tags"):
        (root / ".git" / folder).mkdir(parents=True, exist_ok=True)


@cache
def _parcels_repository() -> Mapping[str, bytes]:
    """Return the project's repository: made once, as it is always the same."""
    return made_repository(parcels().commits)


def made_repository(commits: Sequence[Commit]) -> Mapping[str, bytes]:
    """Return what git keeps of a history, by path.

    Raises `EvaluationError` if git is not there or fails.
    """
    with tempfile.TemporaryDirectory(prefix="punie-") as folder:
        root = Path(folder)
        _git(root, "init", "--quiet", "--initial-branch=main")
        # One pack in place of many small files.
        pack = ("-c", "fastimport.unpackLimit=1")
        _git(root, *pack, "fast-import", "--quiet", stdin=_stream(commits))
        _git(root, "read-tree", "main")
        own = root / ".git"
        return {
            file.relative_to(own).as_posix(): file.read_bytes()
            for file in sorted(own.rglob("*"))
            if file.is_file() and own / "logs" not in file.parents
        }


def _stream(commits: Sequence[Commit]) -> bytes:
    """Return the history as `git fast-import` reads it (git-fast-import(1), INPUT FORMAT)."""
    lines: list[bytes] = []

    def data(text: str) -> None:
        raw = text.encode()
        lines.extend((b"data %d" % len(raw), raw))

    for commit in commits:
        mail = f"{commit.author.split()[0].lower()}@parcels.example"
        who = f"{commit.author} <{mail}> {commit.date} +0000"
        lines.append(b"commit refs/heads/main")
        lines += [f"author {who}".encode(), f"committer {who}".encode()]
        data(commit.message + "\n")
        for path, text in commit.files.items():
            lines.append(f"M 100644 inline {path}".encode())
            data(text)
    return b"\n".join([*lines, b"done", b""])


def _git(root: Path, *arguments: str, stdin: bytes = b"") -> None:
    # What the person configured, such as a template with hooks, is left out.
    plain = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TEMPLATE_DIR": ""}
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            env={**own, **plain},
            input=stdin,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise EvaluationError("git is not installed; the suites' project needs it.") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise EvaluationError(f"git could not make the suites' project: {error}.") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise EvaluationError(f"git could not make the suites' project: {said[-1]}.")
