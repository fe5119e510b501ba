"""Takes secrets, and who the user is, out of conversations that are to be learned.

More is masked than in what a model reads (`punie.logs.credentials`): a text that is learned is not
edited any more, and a secret that a model has learned cannot be taken back.
"""

import copy
import getpass
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from punie.logs.credentials import MASK, Credentials, assignments, is_secret_name, secret_values
from punie.plain_files import read_plain
from punie.workspace.secret_files import is_secret_path

USER = "user"
"""What stands in place of the user's name."""

_HOME = f"/home/{USER}"
_MOST_BYTES = 256_000
_MOST_FOLDERS = 2_000
_DEEPEST = 5
_NO_PROJECT_FILES = frozenset({".git", ".hg", ".venv", "venv", "node_modules", "__pycache__"})
_NOBODY = frozenset(
    {"root", "user", "admin", "administrator", "home", "users", "test", "dev", "shared", "public"}
)
_SHORTEST_NAME = 3

_HOMES = re.compile(r"(?<![\w.-])(/home/|/Users/)(?!Shared\b)[^/\s\"'`:;,()<>|\\]+")
_WINDOWS_HOMES = re.compile(r"(?i)(?<![\w])([a-z]:(?:\\+|/)users(?:\\+|/))[^\\/\s\"'`:;,()<>|]+")
_PATH = re.compile(r"[^\s\"'`]*[/\\@][^\s\"'`]*")

_QUOTED = re.compile(r"""(?<![\w-])([\w-]{2,60})(["']?\s{0,4}[=:]\s{0,4}[rbuf]{0,2})(["'])""")
_BARE = re.compile(r"(?<![\w-])([\w-]{2,60})(\s{0,2}[=:]\s{0,2})([^\s\"'`,;&<>(){}\[\]]{6,})")
_FLAG = re.compile(r"(?<![\w-])--([\w-]{2,60})([ =]+)([^\s\"'`;&|<>]{6,})")
_PASSWORD = re.compile(r"(?i)pass(?:word|wd|phrase)|pwd|secret")
_SHORTEST_LITERAL = 6
_SHORTEST_VALUE = 8
_NO_LITERAL = re.compile(
    r"(?i)\s*|\$.*|.*[{<%].*|\*+|\.+|x+|(?:my|your|the|some|a|an|new|old|db)?[_\s-]?"
    r"(?:password|passwd|passphrase|secret|token|changeme|change[_-]?me|example|placeholder|string|"
    r"none|null|true|false)\d{0,3}"
)


class Privacy:
    """Masks texts and values of JSON kinds; equal texts are always masked equally."""

    def __init__(
        self,
        secrets: Iterable[str] = (),
        *,
        homes: Iterable[Path] = (),
        users: Iterable[str] = (),
    ) -> None:
        """`secrets` are masked wherever they occur, `homes` and `users` in paths."""
        self._secrets = frozenset(secrets)
        self._credentials = Credentials(self._secrets)
        texts = {str(home) for home in homes if len(home.parts) > 1}
        self._homes = [
            re.compile(re.escape(text) + r"(?![\w.-])")
            for text in sorted(texts, key=lambda text: (-len(text), text))
            if not _HOMES.fullmatch(text)
        ]
        names = {name for name in users if _is_name(name)}
        self._names = [
            re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")
            for name in sorted(names, key=lambda name: (-len(name), name))
        ]

    def knowing(self, texts: Iterable[str]) -> "Privacy":
        """Return this with what stands in the texts behind telling names masked wherever it is.

        A password that is shown once by its name may be told again without it.
        """
        known = {
            value
            for text in texts
            for start, end in _named_secrets(text)
            if len(value := text[start:end]) >= _SHORTEST_VALUE
        }
        other = copy.copy(self)
        other._secrets = self._secrets | known
        other._credentials = Credentials(other._secrets)
        return other

    def without_secrets(self, text: str) -> str:
        """Return the text with `***` in place of every secret."""
        text = self._credentials.text(text)
        parts: list[str] = []
        done = 0
        for start, end in _named_secrets(text):
            parts += [text[done:start], MASK]
            done = end
        return "".join([*parts, text[done:]])

    def without_person(self, text: str) -> str:
        """Return the text with placeholders for home folders and the user's name in paths."""
        for home in self._homes:
            text = home.sub(_HOME, text)
        text = _HOMES.sub(rf"\1{USER}", text)
        text = _WINDOWS_HOMES.sub(lambda found: found[1] + USER, text)
        return _PATH.sub(self._nameless, text) if self._names else text

    def text(self, text: str) -> str:
        """Return the text without secrets and without the person."""
        return self.without_person(self.without_secrets(text))

    def value(self, value: Any) -> Any:
        """Return a value of JSON kinds with every text in it, keys too, masked."""
        return _each_text(value, self.text)

    def has_secret(self, value: Any) -> bool:
        """Tell whether a secret stands anywhere in a value of JSON kinds."""
        found = False

        def look(text: str) -> str:
            nonlocal found
            found = found or self.without_secrets(text) != text
            return text

        _each_text(value, look)
        return found

    def _nameless(self, path: re.Match[str]) -> str:
        text = path[0]
        for name in self._names:
            text = name.sub(USER, text)
        return text


def privacy_of(roots: Iterable[Path], environment: Mapping[str, str] = os.environ) -> Privacy:
    """Return what masks the secrets of some projects and of the environment, and their user.

    Secrets are the values in the projects' secret files as they are now. Files that cannot be read
    have none.
    """
    roots = [*roots]
    secrets = {*secret_values(environment)}
    for root in roots:
        secrets |= project_secrets(root)
    homes = {Path.home(), *_homes_of(roots)}
    users = {home.name for home in homes}
    with suppress(OSError, KeyError, ImportError):  # nobody by that number
        users.add(getpass.getuser())
    return Privacy(secrets, homes=homes, users=users)


def project_secrets(root: Path) -> set[str]:
    """Return the values in the files of a project that are likely to hold secrets."""
    found: set[str] = set()
    for file in _secret_files(root):
        try:
            text = read_plain(file, _MOST_BYTES, cut=True).decode("utf-8", "replace")
        except OSError:
            continue
        found |= file_secrets(text)
    return found


def file_secrets(text: str) -> set[str]:
    """Return what is taken for secret in the text of a secret file: its values and random words."""
    values = {value for _, value in assignments(text)}
    values |= {word for word in re.split(r"[\s\"'=,;<>]+", text) if _is_random(word)}
    with suppress(ValueError):  # most are no JSON
        values |= {*texts_in(json.loads(text))}
    named = {f"secret_{number}": value for number, value in enumerate(sorted({*values, text}))}
    return {*secret_values(named)}


def _secret_files(root: Path) -> Iterator[Path]:
    for folder, below, files in itertools.islice(os.walk(root), _MOST_FOLDERS):
        depth = len(Path(folder).relative_to(root).parts)
        keep = [] if depth >= _DEEPEST else sorted(set(below) - _NO_PROJECT_FILES)
        below[:] = keep
        for name in sorted(files):
            path = Path(folder, name)
            if is_secret_path(path.relative_to(root)):
                yield path


def _homes_of(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        if len(root.parts) > 2 and root.parts[1] in ("home", "Users"):
            yield Path(*root.parts[:3])


def texts_in(value: Any) -> list[str]:
    """Return every text in a value of JSON kinds, keys too."""
    found: list[str] = []

    def keep(text: str) -> str:
        found.append(text)
        return text

    _each_text(value, keep)
    return found


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case Mapping():
            return {change(str(key)): _each_text(item, change) for key, item in value.items()}
        case list() | tuple():
            return [_each_text(item, change) for item in value]
        case _:
            return value


def _is_name(name: str) -> bool:
    return len(name) >= _SHORTEST_NAME and name.casefold() not in _NOBODY


def _is_random(word: str) -> bool:
    """Tell whether a word mixes letters and digits, as what is made by chance does."""
    return any(map(str.isdigit, word)) and any(map(str.isalpha, word))


def _named_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield where values stand whose names say that they are secret, in order and apart."""
    spans = [*_quoted_secrets(text)]
    for pattern, is_secret in ((_FLAG, _is_secret_argument), (_BARE, _is_secret_word)):
        for found in pattern.finditer(text):
            if is_secret_name(found[1]) and is_secret(found[3]):
                spans.append(found.span(3))
    done = 0
    for start, end in sorted(spans):
        if start >= done:
            yield start, end
            done = end


def _quoted_secrets(text: str) -> Iterator[tuple[int, int]]:
    done = 0
    for found in _QUOTED.finditer(text):
        if found.start() < done or not is_secret_name(found[1]):
            continue
        end = _end_of_literal(text, found.end(), found[3])
        if _is_secret_literal(found[1], text[found.end() : end]):
            yield found.end(), end
            done = end


def _end_of_literal(text: str, start: int, quote: str) -> int:
    place = start
    while place < len(text) and text[place] not in (quote, "\n"):
        place += 2 if text[place] == "\\" else 1
    return min(place, len(text))


def _is_secret_literal(name: str, literal: str) -> bool:
    if len(literal) < _SHORTEST_LITERAL or _NO_LITERAL.fullmatch(literal) or " " in literal.strip():
        return False
    # What a plain word says depends on the name: a `token` is often one, a password seldom.
    return _is_random(literal) or bool(_PASSWORD.search(name)) or not literal.isidentifier()


def _is_secret_argument(value: str) -> bool:
    return not value.startswith(("$", "-")) and not _NO_LITERAL.fullmatch(value)


def _is_secret_word(value: str) -> bool:
    return _is_random(value) and not _is_code(value)


def _is_code(value: str) -> bool:
    """Tell whether a value without quotes is an expression, such as `settings.token_2`."""
    return all(part.isidentifier() for part in value.split(".")) and ("." in value or "_" in value)
