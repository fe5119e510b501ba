"""What a confined command of one workspace may see, change and reach."""

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from punie.workspace.sandbox.repository import guarded_in, repositories_below, worktree_folder

Wanted = Literal["on", "always", "off"]
"""`always` confines what auto mode would run outside too, unless a person says yes."""

GUARDED_NAMES = (".idea", ".vscode", ".punie")
"""Folders of a root in which a command changes nothing: what is in them runs outside later."""

_SECRETS = (
    ".ssh",
    ".aws",
    ".azure",
    ".gnupg",
    ".kube",
    ".docker",
    ".colima",
    ".lima",
    ".orbstack",
    ".rd",
    ".1password",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".password-store",
    ".vault-token",
    ".mozilla",
    ".Xauthority",
    ".config/gh",
    ".config/hub",
    ".config/op",
    ".config/gcloud",
    ".config/git/credentials",
    ".config/google-chrome",
    ".config/chromium",
    ".local/share/keyrings",
    ".cache/huggingface/token",
    "Library/Keychains",
    "Library/Cookies",
    "Library/Application Support/Firefox",
    "Library/Application Support/Google/Chrome",
)
_CACHES = (".npm", ".cargo")
_APART = re.compile(r"[:;,=]")


@dataclass(frozen=True)
class SandboxOptions:
    """What the user wants: `write` are more folders that commands may change.

    `own` are Punie's folders, which no command changes wherever they are. `hide` are folders that
    no command reads.
    """

    wanted: Wanted = "on"
    network: bool = False
    write: tuple[Path, ...] = ()
    own: tuple[Path, ...] = ()
    hide: tuple[Path, ...] = ()


UNCONFINED = SandboxOptions(wanted="off")


@dataclass(frozen=True)
class View:
    """The paths of a sandbox, all absolute and free of symbolic links, all but `absent` existing.

    `writable` can be changed, apart from what is `guarded`; `absent` would be guarded if it were
    there. `hidden` cannot be read. What is written to `caches` is forgotten with the command.
    `needed` are folders of programs and settings that must be seen wherever they are. `scratch` is
    the commands' folder for temporary files.
    """

    writable: tuple[Path, ...]
    guarded: tuple[Path, ...]
    absent: tuple[Path, ...]
    hidden: tuple[Path, ...]
    caches: tuple[Path, ...]
    needed: tuple[Path, ...]
    scratch: Path
    network: bool


def view_of(
    roots: Sequence[Path],
    options: SandboxOptions,
    environment: Mapping[str, str],
    scratch: Path,
    installed: Sequence[Path],
    stand_ins: Set[Path] = frozenset(),
) -> View:
    """Return what a command sees of the disk as it is now; Punie and its Python are `installed`.

    `stand_ins` are folders that were made for other commands and are as good as absent while empty.
    """
    home = Path(os.path.realpath(environment.get("HOME") or Path.home()))
    real = _real(roots)
    gits = [root / ".git" for root in real]
    outside = [folder for git in gits if (folder := worktree_folder(git)) is not None]
    gits += [git for root in real for git in repositories_below(root) if git not in gits]
    repositories = [git for git in gits if git.is_dir() and not git.is_symlink()] + outside
    names = [root / name for root in real for name in GUARDED_NAMES]
    names += [git / "hooks" for git in repositories]
    guarded = [
        *(name for name in names if not _is_absent(name, stand_ins)),
        *(git for git in gits if os.path.lexists(git) and git not in repositories),
        *(path for git in repositories for path in guarded_in(git)),
        *options.own,
    ]
    secrets = [home / name for name in _SECRETS]
    secrets += _named_sockets(environment)
    cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return View(
        writable=_real([*roots, *options.write, *repositories]),
        guarded=_real(guarded),
        absent=tuple(name for name in names if _is_absent(name, stand_ins)),
        hidden=(
            *(path for path in _real(secrets) if not _is_of_the_workspace(path, real, home)),
            *_real(options.hide),
        ),
        caches=_real(path for path in [cache, *(home / name for name in _CACHES)] if path.is_dir()),
        needed=_real([home, *installed, *_program_folders(environment)]),
        scratch=Path(os.path.realpath(scratch)),
        network=options.network,
    )


def _is_absent(path: Path, stand_ins: Set[Path]) -> bool:
    if path in stand_ins and path.is_dir() and not path.is_symlink():
        return not any(path.iterdir())
    return not os.path.lexists(path)


def _named_sockets(environment: Mapping[str, str]) -> Iterable[Path]:
    """Return the sockets that variables name, such as SSH_AUTH_SOCK and DOCKER_HOST."""
    for value in environment.values():
        for text in _APART.split(value):
            path = Path(text)
            try:
                if path.is_absolute() and stat.S_ISSOCK(path.stat().st_mode):
                    yield path
            except (OSError, ValueError):
                continue


def _is_of_the_workspace(path: Path, roots: Iterable[Path], home: Path) -> bool:
    """Tell whether a secret is what the person works on; a whole home folder as a root is not."""
    return any(
        path.is_relative_to(root) and not home.is_relative_to(root) for root in roots
    ) or any(root.is_relative_to(path) for root in roots)


def _program_folders(environment: Mapping[str, str]) -> Iterable[Path]:
    for folder in environment.get("PATH", "").split(os.pathsep):
        if folder.startswith("/"):
            path = Path(folder)
            # A virtual environment's programs need all of it.
            yield path.parent if path.name == "bin" and path.parent != Path("/") else path


def _real(paths: Iterable[Path]) -> tuple[Path, ...]:
    found = (Path(os.path.realpath(path)) for path in paths)
    return tuple(dict.fromkeys(path for path in found if path.exists()))
