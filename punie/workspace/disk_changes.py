"""Notices which files commands change on disk: an IDE may go on showing what was there before.

Texts are compared without regard to line ends and byte order marks, which editors keep to
themselves.
"""

import stat
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from punie.workspace.text_files import BOM, MAX_TEXT_BYTES, digest_of

_KNOWN_FILES = 200
_SPANS = 50
# Files get their times from a clock that ticks every few milliseconds.
_TICK_NS = 20_000_000


def text_digest(text: str | bytes) -> str:
    """Return a hash that is the same for texts that differ only in line ends and mark."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return digest_of(data.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n"))


@dataclass(frozen=True)
class _Fingerprint:
    """A file on disk: what changes with every write of it, and the hash of its text."""

    written: tuple[int, int, int, int]
    digest: str


@dataclass(frozen=True)
class Watch:
    """The files of a session as they were when a command began, at `began` (ns since 1970)."""

    began: int
    files: dict[Path, _Fingerprint | None]


class DiskChanges:
    """Remembers the files of a session, and which of them commands have changed.

    `begin` and `end` enclose a command and read files, so they belong into a worker thread.
    """

    def __init__(self) -> None:
        self._known: dict[Path, _Fingerprint | None] = {}
        self._before: dict[Path, frozenset[str]] = {}
        self._spans: deque[tuple[int, int]] = deque(maxlen=_SPANS)

    def touch(self, path: Path) -> None:
        """Count a file among those of the session; the ones touched longest ago are forgotten."""
        self._known[path] = self._known.pop(path, None)
        while len(self._known) > _KNOWN_FILES:
            self._known.pop(next(iter(self._known)))

    def below(self, path: Path) -> list[Path]:
        """Return the path and the files of the session below it."""
        return [path, *(each for each in self._known if each != path and each.is_relative_to(path))]

    def begin(self) -> Watch:
        """Look at the files before a command runs."""
        for path in list(self._known):
            self._known[path] = _fingerprint(path, self._known[path])
        return Watch(time.time_ns(), dict(self._known))

    def end(self, watch: Watch) -> list[Path]:
        """Return the files that have changed since `begin`; what they held before is remembered."""
        self._spans.append((watch.began, time.time_ns()))
        changed: list[Path] = []
        for path, before in watch.files.items():
            after = _fingerprint(path, before)
            if path in self._known:
                self._known[path] = after
            if before is not None and after is not None and before.digest != after.digest:
                self.replaced(path, before.digest)
                changed.append(path)
        return changed

    def replaced(self, path: Path, old: str) -> None:
        """Remember that the text with this digest was replaced on disk, past the IDE."""
        self._before[path] = self._before.get(path, frozenset()) | {old}

    def before(self, path: Path) -> frozenset[str] | None:
        """Return the digests of what the file held on disk before commands changed it.

        None means that no command did. A file that is new to the session and was written while a
        command ran has changed too, but nobody knows what it held.
        """
        if path not in self._before and path not in self._known and self._in_a_span(path):
            self._before[path] = frozenset()
        return self._before.get(path)

    def settle(self, path: Path) -> None:
        """Forget the file's changes: the IDE and the disk agree again."""
        self._before.pop(path, None)

    def _in_a_span(self, path: Path) -> bool:
        try:
            changed = path.stat().st_ctime_ns
        except OSError:
            return False
        return any(began - _TICK_NS <= changed <= ended for began, ended in self._spans)


def _fingerprint(path: Path, last: _Fingerprint | None) -> _Fingerprint | None:
    """Return the file's fingerprint, reading it only if it was written since the last one."""
    try:
        found = path.stat()
        written = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
        if last is not None and last.written == written:
            return last
        if found.st_size > MAX_TEXT_BYTES or not stat.S_ISREG(found.st_mode):
            return None
        return _Fingerprint(written, text_digest(path.read_bytes()))
    except OSError:
        return None
