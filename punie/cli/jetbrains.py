"""The IDEs' `~/.jetbrains/acp.json`: read it, put Punie in or take it out, write it back.

Everything that is not Punie's own stays as it is, the order of the keys included. The IDE watches
the file, so it is replaced in one step.
"""

import contextlib
import difflib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

NAME = "Punie"
"""The key in `agent_servers`; the IDE shows it and ties the user's settings to it."""
_SERVERS = "agent_servers"
_PASS_THROUGH = ("use_idea_mcp", "use_custom_mcp")
_ALWAYS_IN_PATH = ("/usr/local/bin", "/opt/homebrew/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")


class JetBrainsConfigError(Exception):
    """The file cannot be changed safely; the message is one sentence that says where and why."""


@dataclass(frozen=True)
class ConfigFile:
    """The file as it is: `text` is None when there is none yet."""

    path: Path
    text: str | None
    content: dict[str, Any]


def config_path(home: Path) -> Path:
    """Return where all JetBrains IDEs look for agents."""
    return home / ".jetbrains" / "acp.json"


def read_config(path: Path) -> ConfigFile:
    """Read the file; raise `JetBrainsConfigError` when it is not what an IDE would accept."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ConfigFile(path, None, {})
    except UnicodeDecodeError as error:
        raise JetBrainsConfigError(
            f"{path} is not UTF-8 text (byte {error.start}); nothing was changed."
        ) from None
    except OSError as error:
        raise JetBrainsConfigError(f"{path} cannot be read: {error.strerror}.") from None
    if not text.removeprefix("\ufeff").strip():
        return ConfigFile(path, text, {})
    try:
        content = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise JetBrainsConfigError(
            f"{path} is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}; "
            "nothing was changed."
        ) from None
    except (ValueError, RecursionError) as error:
        raise JetBrainsConfigError(f"{path} is unclear: {error}; nothing was changed.") from None
    _check_shape(path, content)
    return ConfigFile(path, text, content)


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            # Writing the file back would silently drop one of the two.
            raise ValueError(f"the key {name!r} stands twice in one object")
        found[name] = value
    return found


def _check_shape(path: Path, content: Any) -> None:
    if not isinstance(content, dict):
        raise JetBrainsConfigError(
            f"{path} holds {_kind(content)} where an object belongs; nothing was changed."
        )
    servers = content.get(_SERVERS, {})
    if not isinstance(servers, dict):
        raise JetBrainsConfigError(
            f"{_SERVERS!r} in {path} is {_kind(servers)}, not an object; nothing was changed."
        )
    entry = servers.get(NAME, {})
    if not isinstance(entry, dict):
        raise JetBrainsConfigError(
            f"{NAME!r} in {path} is {_kind(entry)}, not an object; nothing was changed."
        )
    if not isinstance(entry.get("env", {}), dict):
        raise JetBrainsConfigError(
            f"'env' of {NAME!r} in {path} is {_kind(entry['env'])}, not an object; "
            "nothing was changed."
        )


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case list():
            return "a list"
        case str():
            return "a text"
        case _:
            return "a number"


def with_punie(
    content: Mapping[str, Any],
    *,
    command: Path,
    login_path: str,
    model: str | None = None,
) -> dict[str, Any]:
    """Return the content with Punie's entry made right; what the user set besides is kept."""
    merged = deepcopy(dict(content))
    entry = merged.setdefault(_SERVERS, {}).setdefault(NAME, {})
    entry["command"] = str(command)
    entry["args"] = _arguments(entry.get("args"), model)
    environment = entry.setdefault("env", {})
    environment["PATH"] = launch_path(command, login_path, str(environment.get("PATH", "")))
    for switch in _PASS_THROUGH:
        entry.setdefault(switch, True)
    return merged


def _arguments(present: Any, model: str | None) -> list[str]:
    """Keep flags that the user added behind `acp`; a model that is given replaces theirs."""
    kept = [str(item) for item in present] if isinstance(present, list) else []
    kept = kept if kept[:1] == ["acp"] else ["acp"]
    if model is None:
        return kept
    without: list[str] = []
    skip = False
    for item in kept:
        if not skip and item != "--model" and not item.startswith("--model="):
            without.append(item)
        skip = not skip and item == "--model"
    return [*without, "--model", model]


def without_punie(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content without Punie's entry."""
    merged = deepcopy(dict(content))
    servers = merged.get(_SERVERS)
    if isinstance(servers, dict):
        servers.pop(NAME, None)
    return merged


def launch_path(command: Path, login_path: str, present: str = "") -> str:
    """Return a PATH for programs started from a GUI, which inherit next to nothing.

    The folders of `present` (the PATH that the entry has) keep their order; the command's own
    folder, those of the user's PATH and the usual ones are added where they are missing. Folders
    that do not exist and those of temporary environments are left out.
    """
    own = str(command.parent)
    wanted = [*login_path.split(os.pathsep), *_ALWAYS_IN_PATH]
    before = [folder for folder in present.split(os.pathsep) if _lasts(folder)]
    folders = before if own in before else [own, *before]
    return os.pathsep.join(dict.fromkeys([*folders, *filter(_lasts, wanted)]))


def _lasts(folder: str) -> bool:
    return folder.startswith("/") and Path(folder).is_dir() and not is_transient(Path(folder))


def is_transient(path: Path) -> bool:
    """Tell whether a path lies in a cache of uvx or pipx run, and so may vanish any day."""
    parts = path.parts
    if {"archive-v0", "environments-v2", "builds-v0"} & set(parts):
        return True
    return "pipx" in parts and ".cache" in parts


def render(content: Mapping[str, Any], like: str | None) -> str:
    """Return the content as text with the indentation and the end of the file that stood there."""
    indent: int | str = 2
    for line in (like or "").splitlines()[1:]:
        blank = line[: len(line) - len(line.lstrip(" \t"))]
        if blank and line.strip():
            indent = "\t" if blank.startswith("\t") else len(blank)
            break
    end = "\n" if not like or like.endswith("\n") else ""
    return json.dumps(content, indent=indent, ensure_ascii=False) + end


def difference(file: ConfigFile, text: str) -> str:
    """Return what would change, as a unified diff."""
    lines = difflib.unified_diff(
        (file.text or "").splitlines(keepends=True),
        text.splitlines(keepends=True),
        str(file.path) if file.text is not None else "/dev/null",
        str(file.path),
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def write_config(file: ConfigFile, text: str, now: datetime) -> Path | None:
    """Replace the file in one step and return the backup of the old one, if there was one.

    A symbolic link stays one: the file it points at is replaced. Raises `JetBrainsConfigError`.
    """
    try:
        target = file.path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        current = target.read_text(encoding="utf-8") if target.exists() else None
        if current != file.text:
            raise JetBrainsConfigError(
                f"{file.path} was changed by another program just now; nothing was written, "
                "run the command again."
            )
        backup = None
        if file.text is not None:
            backup = _free_name(target, now)
            _write(backup, file.text, target)
        _write(target, text, target)
    except OSError as error:
        raise JetBrainsConfigError(f"{file.path} cannot be written: {error.strerror}.") from None
    return backup


def _free_name(target: Path, now: datetime) -> Path:
    stem = f"{target.name}.{now:%Y%m%d-%H%M%S}"
    names = [f"{stem}.bak", *(f"{stem}-{number}.bak" for number in range(1, 1_000))]
    return next(path for path in map(target.with_name, names) if not path.exists())


def _write(path: Path, text: str, like: Path) -> None:
    # An env block may hold keys: never wider than the file was, and only the user's if new.
    mode = like.stat().st_mode & 0o777 if like.exists() else 0o600
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
            os.fchmod(out.fileno(), mode)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
