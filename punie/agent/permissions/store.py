"""The rules of a project, in a file of the user's that a person can read, edit and comment.

A repository that was cloned must not be able to grant anything: its own file may only forbid.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from punie.agent.permissions.rules import Rule, RuleError
from punie.agent.permissions.toml_rules import header, parse_rules, rule_table, with_rules_removed

if TYPE_CHECKING:
    import tomlkit

PROJECT_FILE = Path(".punie") / "permissions.toml"
_LARGEST = 1_000_000
_LOCK_SECONDS = 5.0
_NAME_CHARS = 40

_Signature = tuple[int, int, int, int, int] | None


class PermissionsError(Exception):
    """The rules cannot be read or changed; the message is one sentence that says why and where."""


@dataclass(frozen=True)
class RuleBook:
    """The rules that hold: the user's own, which are numbered from 1, and the project's."""

    own: tuple[Rule, ...] = ()
    of_project: tuple[Rule, ...] = ()

    @property
    def all(self) -> tuple[Rule, ...]:
        """Every rule."""
        return self.own + self.of_project


class Permissions:
    """The rules of one project. Reading and writing block, so call them in a thread."""

    def __init__(self, config_dir: Path, project: Path) -> None:
        """Take the folder of the user's settings and that of the project; nothing is read yet."""
        self.config_dir = config_dir
        self.project = project
        self.path = config_dir / "permissions" / _file_name(project)
        self.project_path = project / PROJECT_FILE
        self._known: dict[Path, tuple[_Signature, tuple[Rule, ...]]] = {}

    def read(self) -> RuleBook:
        """Return the rules as they are on disk now; raise `PermissionsError` if they are broken."""
        return RuleBook(self._rules(self.path), self._rules(self.project_path))

    def add(self, rules: Sequence[Rule]) -> None:
        """Store rules, those there already only once; raise `PermissionsError`."""
        with self._writing() as document:
            there = self._rules(self.path)
            new = [rule for rule in dict.fromkeys(rules) if rule not in there]
            for rule in new:
                _append(document, rule_table(rule))
            self._replace(document, [*there, *new])

    def revoke(self, numbers: Sequence[int]) -> tuple[Rule, ...]:
        """Take the user's rules of these numbers out and return them; raise `PermissionsError`."""
        with self._writing() as document:
            there = self._rules(self.path)
            for number in numbers:
                if not 1 <= number <= len(there):
                    raise PermissionsError(_no_such_number(number, len(there)))
            gone = {number - 1 for number in numbers}
            with_rules_removed(document, gone)
            self._replace(document, [rule for at, rule in enumerate(there) if at not in gone])
            return tuple(there[at] for at in sorted(gone))

    def _rules(self, path: Path) -> tuple[Rule, ...]:
        signature = _signature(path)
        known = self._known.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        text = "" if signature is None else _read(path)
        try:
            rules = parse_rules(text, deny_only=path == self.project_path)
        except RuleError as error:
            raise PermissionsError(f"{path}, {error}") from None
        self._known[path] = (signature, rules)
        return rules

    @contextlib.contextmanager
    def _writing(self) -> "Iterator[tomlkit.TOMLDocument]":
        """Give the file's document while no other process writes; trouble is one sentence."""
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(self.path.parent):
                text = "" if _signature(self.path) is None else _read(self.path)
                yield tomlkit.parse(text if text.strip() else header(self.project))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise PermissionsError(f"{self.path} could not be written: {reason}.") from None
        except TOMLKitError:
            raise PermissionsError(f"{self.path} could not be changed; edit it yourself.") from None

    def _replace(self, document: "tomlkit.TOMLDocument", expected: Sequence[Rule]) -> None:
        """Write the document in one step, but only if it says what it should."""
        text = document.as_string()
        try:
            data = text.encode("utf-8")
            if parse_rules(text) != tuple(expected):
                raise RuleError("")
        except (RuleError, UnicodeEncodeError):
            raise PermissionsError(f"{self.path} could not be changed; edit it yourself.") from None
        # A link, as people who keep their settings in a repository have, stays one.
        target = Path(os.path.realpath(self.path))
        descriptor, temporary = tempfile.mkstemp(prefix=".permissions-", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _file_name(project: Path) -> str:
    real = os.path.realpath(project)
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(real).name).strip("-.")[:_NAME_CHARS]
    return f"{name or 'project'}-{digest}.toml"


def _no_such_number(number: int, count: int) -> str:
    if count == 0:
        return f"there is no rule {number}; this project has none of yours."
    return f"there is no rule {number}; there are 1 to {count}."


def _signature(path: Path) -> _Signature:
    """Return what changes whenever the file does; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise PermissionsError(f"{path} is a link that leads nowhere.") from None
        return None
    except OSError as error:
        raise PermissionsError(f"{path} cannot be read: {error.strerror}.") from None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def _read(path: Path) -> str:
    """Read the file; a repository may hold anything under its name, a pipe too."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PermissionsError(f"{path} is no file.")
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise PermissionsError(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > _LARGEST:
        raise PermissionsError(f"{path} is larger than {_LARGEST} bytes.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PermissionsError(f"{path}, line {line}: this is not UTF-8 text.") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; every process that writes rules takes it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise PermissionsError(
                        f"another Punie is writing to {folder}; try again."
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _append(document: "tomlkit.TOMLDocument", table: dict[str, Any]) -> None:
    import tomlkit

    if "rules" not in document:
        document["rules"] = tomlkit.aot()
    rules: Any = document["rules"]
    if isinstance(rules, tomlkit.items.AoT):
        new = tomlkit.table()
        new.update(table)
        rules.append(new)
    else:
        rules.append(table)
