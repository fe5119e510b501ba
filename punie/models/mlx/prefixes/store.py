"""The prefix cache on disk: what a restarted process or a reopened session goes on from.

One file for each system prefix and for the last state of each session, with the checkpoints of
that session, in a folder for each model. Files hold the user's text: only the user can read them.
Several processes may share the directory; each believes only what a file proves.

Everything that touches MLX runs on the engine's thread; a thread of the store's own writes.
"""

import hashlib
import importlib.metadata
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from punie.models.mlx.prefixes.entry import Kind, TokenArray, common_prefix
from punie.models.mlx.prefixes.file import (
    SUFFIX,
    TEMPORARY_SUFFIX,
    DamagedFileError,
    HostTensor,
    WriteStoppedError,
    encode_header,
    file_name,
    read_header,
    read_tensor,
    write_file,
)
from punie.models.mlx.prefixes.layers import (
    Layers,
    build_layer,
    check,
    is_cuttable,
)
from punie.models.mlx.prefixes.tensors import StateReader, StateWriter

FORMAT = "punie-prefix-1"

_MAX_BYTES = 20 << 30
_MIN_FREE = 10 << 30
_STALE_SECONDS = 3600.0
_NAME_LENGTH = 32

_log = logging.getLogger(__name__)


def model_identity(directory: Path, settings: str = "") -> str:
    """Return what tells apart the caches of the model in `directory` from all others.

    Takes in the configuration, the template, and names, sizes, times and headers of the weights,
    not their content. `settings` is what else the arrays depend on, such as how they are quantised.
    """
    hashed = hashlib.blake2b(digest_size=16)

    def add(*parts: object) -> None:
        hashed.update(repr(parts).encode())

    add(FORMAT, importlib.metadata.version("mlx-lm"), settings)
    for name in ("config.json", "chat_template.jinja", "tokenizer_config.json"):
        file = directory / name
        add(name, file.read_bytes() if file.is_file() else None)
    for file in sorted([*directory.glob("*.safetensors"), *directory.glob("tokenizer.json")]):
        status = file.stat()
        add(file.name, status.st_size, status.st_mtime_ns)
        if file.suffix == ".safetensors":
            with file.open("rb") as opened:
                length = int.from_bytes(opened.read(8), "little")
                add(opened.read(min(length, status.st_size)))
    return hashed.hexdigest()


@dataclass(frozen=True)
class SavedPrefix:
    """A file of the store: the tokens of its longest state, and the lengths of all of them."""

    path: Path
    tokens: TokenArray
    kind: Kind
    owner: str | None
    lengths: tuple[int, ...]
    is_cuttable: bool
    nbytes: int

    def usable(self, prompt: TokenArray, limit: int) -> int:
        """Return how many of the first `limit` tokens of `prompt` it saves from prefilling."""
        length = min(common_prefix(self.tokens, prompt), limit)
        if self.is_cuttable:
            return length
        return max((known for known in self.lengths if known <= length), default=0)


@dataclass(eq=False)
class SaveJob:
    """Something to be written; its arrays are evaluated and stay as they are until `done`."""

    tokens: TokenArray
    kind: Kind
    owner: str | None
    about: dict[str, Any]
    tensors: dict[str, HostTensor]
    done: threading.Event = field(default_factory=threading.Event)
    saved: bool = False
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Give it up; the file is not written, unless it already is."""
        self._cancelled.set()

    def is_cancelled(self) -> bool:
        """Whether it was given up."""
        return self._cancelled.is_set()


class PrefixStore:
    """The files of one model under `directory`, a directory of the store's own.

    At most `max_bytes` bytes are kept for all models together, the least recently used going
    first, and at least `min_free` bytes of the disk are left free.
    """

    def __init__(
        self,
        directory: Path,
        identity: str,
        *,
        max_bytes: int = _MAX_BYTES,
        min_free: int = _MIN_FREE,
    ) -> None:
        self._directory = directory
        self._folder = directory / identity
        self._identity = identity
        self._max_bytes = max_bytes
        self._min_free = min_free
        self._lock = threading.Lock()
        self._known: dict[str, SavedPrefix] | None = None
        self._jobs: queue.SimpleQueue[SaveJob | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._has_complained = False

    # On the engine's thread.

    def find(
        self, prompt: TokenArray, limit: int, owner: str | None
    ) -> tuple[SavedPrefix, int] | None:
        """Return the file that saves most of prefilling, and how many tokens.

        Another session's file counts only where most of it is used: all of it must be read.
        """
        found = [
            (saved.usable(prompt, limit), saved.kind == "session", saved)
            for saved in self._files().values()
        ]
        fitting = [
            (length, not session, saved)
            for length, session, saved in found
            if length and (not session or saved.owner == owner or 2 * length >= len(saved.tokens))
        ]
        if not fitting:
            return None
        length, _, saved = max(fitting, key=lambda item: item[:2])
        return saved, length

    def contains(self, tokens: TokenArray, kind: Kind, owner: str | None) -> bool:
        """Whether this very state has been saved."""
        return any(
            saved.kind == kind and saved.owner == owner and np.array_equal(saved.tokens, tokens)
            for saved in self._files().values()
        )

    def covered(self, tokens: TokenArray, owner: str) -> int:
        """Return how many of the tokens of the session `owner` are saved."""
        own = (saved for saved in self._files().values() if saved.owner == owner)
        return max((common_prefix(saved.tokens, tokens) for saved in own), default=0)

    def load(self, saved: SavedPrefix, length: int) -> list[tuple[int, Kind, Layers]]:
        """Read the shortest state with the first `length` tokens, and the shorter ones.

        Returns how many tokens each holds, what it is, and its layers, the longest first. Their
        growing tensors share buffers. Empty, and the file is gone, when it is not what it was.
        """
        loaded: list[tuple[int, Kind, Layers]] = []
        try:
            with saved.path.open("rb") as file:
                header = read_header(file, saved.path.name)
                states = {int(state["length"]): state for state in header.about["states"]}
                longest = min(held for held in states if held >= length)
                read = StateReader(lambda name: read_tensor(file, header, name))
                for held in sorted((held for held in states if held <= longest), reverse=True):
                    layers = [build_layer(read.state(layer)) for layer in states[held]["layers"]]
                    check(layers, held)
                    loaded.append((held, states[held]["kind"], layers))
            os.utime(saved.path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.info("A saved prefix cannot be used and is removed: %s", error)
            self._remove(saved.path)
            return []
        return loaded

    def prepare(
        self,
        tokens: TokenArray,
        owner: str | None,
        states: Sequence[tuple[int, Kind, Layers]],
    ) -> SaveJob:
        """Return a job that writes these states, the longest first, all beginnings of `tokens`.

        Each is how many tokens it holds, what it is, and its layers.

        Nobody may write to the layers; the growing tensors of the first serve all of them.
        Raises `UnknownLayerError` for layers that cannot be saved.
        """
        described = StateWriter()
        _, kind, longest = states[0]
        about = {
            "format": FORMAT,
            "identity": self._identity,
            "owner": owner,
            "states": [
                {"length": length, "kind": kind, "layers": described.layers(layers, length)}
                for length, kind, layers in states
            ],
            "cuttable": is_cuttable(longest),
        }
        token_bytes = np.ascontiguousarray(tokens, np.int32).view(np.uint8)
        tensors = {"tokens": HostTensor("I32", (len(tokens),), token_bytes)}
        return SaveJob(tokens, kind, owner, about, tensors | described.tensors())

    def start(self, job: SaveJob) -> None:
        """Let the writer write a job."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="punie-prefixes", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def forget(self, owner: str) -> None:
        """Remove what was saved of the session `owner`."""
        for saved in list(self._files().values()):
            if saved.owner == owner:
                self._remove(saved.path)

    def close(self, seconds: float) -> None:
        """End the writer, after what it was given; wait at most that long."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(seconds)
            self._thread = None

    # On any thread.

    def _files(self) -> dict[str, SavedPrefix]:
        with self._lock:
            if self._known is None:
                self._known = {}
                self._look()
            return dict(self._known)

    def _look(self) -> None:
        """Take note of files that are new, also other processes', and of those that went."""
        assert self._known is not None
        try:
            names = {file.name: file for file in self._folder.iterdir()}
        except OSError:
            names = {}
        for name in self._known.keys() - names.keys():
            del self._known[name]
        for name in names.keys() - self._known.keys():
            path = names[name]
            if _is_ours(path):
                try:
                    self._known[name] = self._read(path)
                except OSError:
                    continue
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    _log.info("A saved prefix cannot be used and is removed: %s", error)
                    self._unlink(path)
            elif path.suffix == TEMPORARY_SUFFIX:
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                        path.unlink()

    def _read(self, path: Path) -> SavedPrefix:
        with path.open("rb") as file:
            header = read_header(file, path.name)
            about = header.about
            if about.get("format") != FORMAT or about.get("identity") != self._identity:
                raise DamagedFileError("another model's, or of another version")
            tokens = read_tensor(file, header, "tokens").data.view(np.int32)
            nbytes = os.fstat(file.fileno()).st_size
            if nbytes != header.data_start + max(end for _, end in header.places.values()):
                raise DamagedFileError("too short or too long")
        lengths = tuple(int(state["length"]) for state in about["states"])
        if lengths[0] != len(tokens) or max(lengths) > len(tokens):
            raise DamagedFileError("other tokens than states")
        kind = about["states"][0]["kind"]
        return SavedPrefix(
            path, tokens, kind, about["owner"], lengths, bool(about["cuttable"]), nbytes
        )

    def _remove(self, path: Path) -> None:
        with self._lock:
            if self._known is not None:
                self._known.pop(path.name, None)
        self._unlink(path)

    def _unlink(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink()

    # On the writer's thread.

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._save(job)
                self._has_complained = False
            except WriteStoppedError:
                pass
            except OSError as error:
                if not self._has_complained:
                    self._has_complained = True
                    _log.warning("What the model has read cannot be saved: %s", error)
            finally:
                job.done.set()
            del job  # its arrays are the engine's to release

    def _save(self, job: SaveJob) -> None:
        for folder in (self._directory, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        self._files()
        with self._lock:
            self._look()
        if self.contains(job.tokens, job.kind, job.owner):
            job.saved = True
            return
        header = encode_header(job.tensors, job.about, job.is_cancelled)
        size = len(header) + sum(tensor.data.nbytes for tensor in job.tensors.values())
        outdated = [
            saved
            for saved in self._files().values()
            if job.owner is not None and saved.owner == job.owner and saved.kind == job.kind
        ]
        if not self._make_room(size, file_name(header)):
            return
        path = write_file(self._folder, header, job.tensors, job.is_cancelled)
        known = self._read(path)
        with self._lock:
            assert self._known is not None
            self._known[path.name] = known
        job.saved = True
        for saved in outdated:
            if saved.path != path:
                self._remove(saved.path)

    def _make_room(self, size: int, name: str) -> bool:
        """Remove what was not used for longest until a file of `size` bytes fits."""
        files: list[tuple[float, int, Path]] = []
        for path in self._directory.glob(f"*/*{SUFFIX}"):
            with suppress(OSError):
                status = path.stat()
                if _is_ours(path) and path.name != name:
                    files.append((status.st_mtime, status.st_size, path))
        files.sort()
        total = sum(used for _, used, _ in files)
        free = shutil.disk_usage(self._folder).free
        while total + size > self._max_bytes or free - size < self._min_free:
            if not files or size > self._max_bytes:
                return False
            _, used, path = files.pop(0)
            self._remove(path)
            total, free = total - used, free + used
        return True


def _is_ours(path: Path) -> bool:
    stem = path.name.removesuffix(SUFFIX)
    return (
        path.name.endswith(SUFFIX)
        and len(stem) == _NAME_LENGTH
        and set(stem) <= set("0123456789abcdef")
    )
