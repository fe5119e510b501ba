"""The files that a command line may name, whichever way they are written in it.

This is no reading of the shell: it gathers whatever could be a file's name, rather too much than
too little. A name too many costs a question.
"""

import glob
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from punie.workspace.secret_files import is_secret_path

_ANSI_C = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ANSI_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})|(.))", re.DOTALL
)
_JOINED = re.compile(r"\\\n|[\"'\\]")
_EXPANSION = re.compile(r"\$\{[^{}]*\}|\$\([^()]*\)|`[^`]*`|\$\d|\$\w+|\$[@*#?$!-]")
_APART = re.compile(r"[\s;&|<>()=:@,`\0]+")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_SEQUENCE = re.compile(r"\{[^{},]*\.\.[^{},]*\}")
# Characters by their kind, as in [[:alpha:]], which Python's patterns do not know.
_CLASS = re.compile(r"\[[^\]]*\[[:.=][^\]]*[:.=]\][^\]]*\]")
_ATTRIBUTE = re.compile(r"\.?[A-Za-z_][\w.\[\]]*\.(?:key|env)", re.ASCII)
_MOVES = re.compile(r"\b(?:cd|pushd|popd)\b|-C\b")
_GLOB = re.compile(r"[*?\[]")
_MOST_WORDS = 2_000
_MOST_BRACES = 256
_MOST_FOUND = 5_000
_MOST_FOLDERS = 20


def secret_files_named(line: str, root: Path) -> tuple[str, ...]:
    """Return what in a command line, run in `root`, names files that are likely to hold secrets.

    Wildcards are looked up on disk; where they match too much to look at, the word itself is told.
    """
    found: dict[str, None] = {}
    words = list(itertools.islice(named_words(line), _MOST_WORDS))
    folders = _folders(words, root) if _MOVES.search(line) else [root]
    for word in words:
        if is_secret_path(word):
            if not _is_attribute(word, line, root):
                found[word] = None
        elif any(_leads_to_secret(word, root, folder) for folder in folders):
            found[word] = None
        elif _GLOB.search(word):
            for folder in folders:
                found.update(dict.fromkeys(_secrets_matching(word, root, folder)))
    return tuple(found)


def _folders(words: Iterable[str], root: Path) -> list[Path]:
    """Return the folders that a line which changes its folder may run commands in."""
    found = [root]
    for folder in found:
        for word in words:
            below = Path(os.path.normpath(folder / word))
            if len(found) < _MOST_FOLDERS and below not in found and _is_folder(below):
                found.append(below)
    return found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _is_attribute(word: str, line: str, root: Path) -> bool:
    """Tell whether a word such as `item.key` is code and no file: there is none of that name."""
    if _ATTRIBUTE.fullmatch(word) is None or _MOVES.search(line):
        return False
    return not os.path.lexists(root / word)


def named_words(line: str) -> Iterator[str]:
    """Yield each piece of a command line that could be a file's name, without its quotes."""
    line = _CLASS.sub("?", line)
    plain = _JOINED.sub("", _ANSI_C.sub(lambda text: _ansi_c(text[1]), line))
    # What a variable or a command puts in is not known; what stands around it may be enough.
    texts = dict.fromkeys((plain, _without_expansions(plain), _JOINED.sub(" ", line)))
    seen: set[str] = set()
    for text in texts:
        for spread in _spread(text):
            for word in _APART.split(spread):
                if word and word not in seen:
                    seen.add(word)
                    yield word


def _without_expansions(text: str) -> str:
    """Return the text without what is put in, also where something is put into that."""
    for _ in range(_MOST_BRACES):
        shorter = _EXPANSION.sub("", text)
        if shorter == text:
            break
        text = shorter
    return text


def _ansi_c(text: str) -> str:
    def value(escape: re.Match[str]) -> str:
        for group, base in ((1, 16), (2, 16), (3, 16), (4, 8)):
            if escape[group]:
                number = int(escape[group], base)
                return chr(number) if number < 0x110000 else ""
        return {"n": "\n", "t": "\t"}.get(escape[5], escape[5])

    return _ANSI_ESCAPE.sub(value, text)


def _spread(text: str) -> Iterable[str]:
    """Yield the text with each of the choices that its braces leave, and as it stands.

    Of a sequence such as `{a..f}` anything is left.
    """
    yield text
    if (sequences := _SEQUENCE.sub("*", text)) != text:
        yield sequences
        text = sequences
    if _BRACES.search(text) is None:
        return
    for word in text.split():
        pending = [word]
        for _ in range(_MOST_BRACES):
            if not pending:
                break
            current = pending.pop()
            braces = _BRACES.search(current)
            if braces is None:
                yield current
                continue
            head, tail = current[: braces.start()], current[braces.end() :]
            pending += [head + choice + tail for choice in braces[1].split(",")]


def _leads_to_secret(word: str, root: Path, folder: Path) -> bool:
    """Tell whether a symbolic link leads from a name in a folder to a file that looks secret."""
    try:
        asked = os.path.normpath(folder / word)
        real = os.path.realpath(asked)
    except (OSError, ValueError):
        return False
    return real != asked and is_secret_path(os.path.relpath(real, os.path.realpath(root)))


def _secrets_matching(word: str, root: Path, folder: Path) -> list[str]:
    pattern = word.replace("[^", "[!")
    if pattern.startswith("~"):
        pattern = os.path.expanduser(pattern)  # noqa: PTH111, of a pattern
    if not pattern.startswith("/"):
        pattern = f"{glob.escape(str(folder))}/{pattern}"
    secrets = []
    try:
        for number, path in enumerate(glob.iglob(pattern)):  # noqa: PTH207, dot files as in bash
            if number == _MOST_FOUND:
                return [word]
            if is_secret_path(path) or _leads_to_secret(path, root, folder):
                secrets.append(path)
    except (OSError, ValueError, re.error):
        return []
    return secrets
