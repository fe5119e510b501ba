"""Downloading a model from the hub: the one place in Punie that opens a network connection.

Only the files that a model needs are fetched, one after the other, into the hub's cache. Every
file is checked against the checksum that the hub names. A download that was interrupted goes on
where it stopped, in the next process too (huggingface_hub 2.x starts such a file anew), and
`refs/main`, which makes a model known, is written last.

Importing this module imports huggingface_hub, which takes a while.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, BinaryIO

import httpx2
from huggingface_hub import HfApi, constants, get_session, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
)

from punie.models.catalog import ModelUnavailable
from punie.models.hub import INCOMPLETE, Repository, is_hub_id, repository
from punie.models.memory import gigabytes

_NEEDED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "LICENSE*",
)
_WEIGHTS = "model*.safetensors"
_BLOCK = 1 << 20
_TRIES = 5
"""How often a broken connection is opened again without a new byte in between."""
_TIMEOUT = httpx2.Timeout(30.0)
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

Progress = Callable[[str, int, int], None]
"""Receives the name of a file, and the bytes of the whole download that are there, of how many."""


class _TryAgain(Exception):  # noqa: N818 - control flow, not an error
    """The server is busy; asking again in a moment helps."""


class Damaged(ModelUnavailable):
    """What came does not have the checksum that the hub names."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; `sha256` where the hub has it, else `sha1` of its git blob."""

    name: str
    size: int
    sha256: str | None
    sha1: str

    @property
    def key(self) -> str:
        """Its name in the cache: the checksum, as in huggingface_hub."""
        return self.sha256 or self.sha1


@dataclass(frozen=True)
class Download:
    """What is to be fetched: the files of one commit."""

    repository: Repository
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights."""
        return sum(file.size for file in self.files if fnmatch(file.name, _WEIGHTS))

    def blob(self, file: RemoteFile) -> Path:
        """Return where the content of a file lies when it is whole."""
        return self.repository.folder / "blobs" / file.key

    def partial(self, file: RemoteFile) -> Path:
        """Return where the content of a file grows."""
        blob = self.blob(file)
        return blob.with_name(blob.name + INCOMPLETE)

    @property
    def missing_bytes(self) -> int:
        """Bytes that are still to come."""
        return self.nbytes - sum(self._present(file) for file in self.files)

    def _present(self, file: RemoteFile) -> int:
        for path in (self.blob(file), self.partial(file)):
            if path.is_file():
                return min(path.stat().st_size, file.size)
        return 0


def plan_download(hub_id: str) -> Download:
    """Ask the hub for the files of a model; raise `ModelUnavailable`."""
    if not is_hub_id(hub_id):
        raise ModelUnavailable(
            f"{hub_id[:200]!r} is no repository of the hub; name one as organisation/name."
        )
    with _plain_errors(hub_id):
        info = HfApi().model_info(hub_id, files_metadata=True, timeout=30.0)
    files = []
    for entry in info.siblings or ():
        if any(fnmatch(entry.rfilename, pattern) for pattern in _NEEDED):
            if entry.size is None or entry.blob_id is None:
                raise ModelUnavailable(f"The hub does not tell the size of {entry.rfilename}.")
            checksum = entry.lfs.sha256 if entry.lfs is not None else None
            files.append(RemoteFile(entry.rfilename, entry.size, checksum, entry.blob_id))
    names = {file.name for file in files}
    lacking = next((name for name in ("config.json", "tokenizer.json") if name not in names), None)
    if lacking is None and not any(fnmatch(name, _WEIGHTS) for name in names):
        lacking = f"weights ({_WEIGHTS})"
    if lacking is not None or info.sha is None:
        raise ModelUnavailable(
            f"{hub_id} holds no MLX model (it has no {lacking or 'commit'}); "
            "choose another repository, such as one of mlx-community."
        )
    # The small files first: what is wrong there is found before the weights are fetched.
    files.sort(key=lambda file: (fnmatch(file.name, _WEIGHTS), file.name))
    return Download(repository(hub_id), info.sha, tuple(files))


def check_space(download: Download) -> None:
    """Raise `ModelUnavailable` unless what is still to come fits onto the disk."""
    folder = download.repository.folder
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if download.missing_bytes > free:
        raise ModelUnavailable(
            f"{download.repository.id} needs {gigabytes(download.missing_bytes)} more on the disk "
            f"and {gigabytes(free)} are free in {folder}; make room, or set HF_HOME to a folder "
            "on another disk."
        )


def fetch_configuration(download: Download) -> Path:
    """Fetch the small files and return the folder that shows them, which is not known yet."""
    return _fetch(download, lambda file: not fnmatch(file.name, _WEIGHTS), lambda *_: None)


def fetch(download: Download, progress: Progress) -> Path:
    """Fetch all files, make the model known and return its folder; raise `ModelUnavailable`.

    Files that are there already are checked as well. Whatever ends this early, the next call goes
    on from there.
    """
    folder = _fetch(download, lambda file: True, progress)
    refs = download.repository.folder / "refs"
    refs.mkdir(parents=True, exist_ok=True)
    unfinished = refs / f".main.{os.getpid()}"
    unfinished.write_text(download.commit, encoding="utf-8")
    unfinished.replace(refs / "main")
    return folder


def _fetch(download: Download, wanted: Callable[[RemoteFile], bool], progress: Progress) -> Path:
    snapshot = download.repository.folder / "snapshots" / download.commit
    before = 0
    with _plain_errors(download.repository.id):
        for path in (snapshot, download.repository.folder / "blobs"):
            path.mkdir(parents=True, exist_ok=True)
        for file in filter(wanted, download.files):
            start = before

            def report(done: int, file: RemoteFile = file, start: int = start) -> None:
                progress(file.name, start + done, download.nbytes)

            _fetch_file(download, file, report)
            _link(download.blob(file), snapshot / file.name)
            before += file.size
    return snapshot


def _fetch_file(download: Download, file: RemoteFile, report: Callable[[int], None]) -> None:
    blob, partial = download.blob(file), download.partial(file)
    if blob.is_file():
        if blob.stat().st_size == file.size and _check(blob, file, report):
            return
        blob.unlink()
    with partial.open("a+b") as target, _locked(target, download.repository.id):
        digest = _Digest(file)
        target.seek(0)
        while block := target.read(_BLOCK):
            digest.update(block)
            report(min(digest.size, file.size))
        if digest.size > file.size:
            digest = _start_over(target, file)
        _receive(download, file, target, digest, report)
        target.flush()
        os.fsync(target.fileno())
        if not digest.fits():
            target.truncate(0)
            raise Damaged(
                f"{file.name} of {download.repository.id} arrived damaged and was thrown away; "
                "run the same command again."
            )
        partial.replace(blob)


def _receive(
    download: Download,
    file: RemoteFile,
    target: BinaryIO,
    digest: "_Digest",
    report: Callable[[int], None],
) -> None:
    """Append the rest of a file to `target`; a connection that breaks is opened again."""
    url = hf_hub_url(download.repository.id, file.name, revision=download.commit)
    tries = 0
    while digest.size < file.size:
        size = digest.size
        try:
            for block in _stream(url, target, digest, file):
                target.write(block)
                target.flush()  # What came is kept, however this ends.
                digest.update(block)
                report(digest.size)
        except (httpx2.TransportError, _TryAgain):
            tries = 1 if digest.size > size else tries + 1
            if tries >= _TRIES:
                raise
            time.sleep(2.0 ** (tries - 2))
        else:
            if digest.size < file.size:
                tries += 1
                if tries >= _TRIES:
                    return  # The checksum tells.


def _stream(url: str, target: BinaryIO, digest: "_Digest", file: RemoteFile) -> Iterator[bytes]:
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if digest.size:
        headers["Range"] = f"bytes={digest.size}-"
    with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT) as response:
        if response.status_code in _TRANSIENT:
            raise _TryAgain(f"status {response.status_code}")
        hf_raise_for_status(response)
        if digest.size and response.status_code != httpx2.codes.PARTIAL_CONTENT:
            # The server sends the whole file again.
            digest.restart()
            target.truncate(0)
        for block in response.iter_bytes():
            # Never more than the file has: the rest would only fill the disk.
            yield block[: file.size - digest.size]


def _start_over(target: BinaryIO, file: RemoteFile) -> "_Digest":
    target.truncate(0)
    return _Digest(file)


class _Digest:
    """The checksum of a file as it grows: SHA-256, or SHA-1 as git makes it for a blob."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self.restart()

    def restart(self) -> None:
        self.size = 0
        if self._file.sha256 is not None:
            self._hash: Any = hashlib.sha256()
        else:
            self._hash = hashlib.sha1(usedforsecurity=False)
            self._hash.update(b"blob %d\0" % self._file.size)

    def update(self, block: bytes) -> None:
        self.size += len(block)
        self._hash.update(block)

    def fits(self) -> bool:
        return self.size == self._file.size and self._hash.hexdigest() == self._file.key


def _check(blob: Path, file: RemoteFile, report: Callable[[int], None]) -> bool:
    digest = _Digest(file)
    with blob.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
            report(digest.size)
    return digest.fits()


@contextmanager
def _locked(target: BinaryIO, hub_id: str) -> Iterator[None]:
    """Keep a second download of the same file out; the system lets go when this process ends."""
    try:
        fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ModelUnavailable(
            f"{hub_id} is being downloaded by another process; wait until it has ended."
        ) from None
    yield


def _link(blob: Path, name: Path) -> None:
    """Show a blob under its name in a snapshot."""
    target = os.path.relpath(blob, name.parent)
    if name.is_symlink() and str(name.readlink()) == target:
        return
    name.unlink(missing_ok=True)
    name.symlink_to(target)


@contextmanager
def _plain_errors(hub_id: str) -> Iterator[None]:
    """Turn what can go wrong into one sentence with the cure."""
    try:
        yield
    except OfflineModeIsEnabled:
        raise ModelUnavailable(
            "HF_HUB_OFFLINE forbids downloads; unset it for this command."
        ) from None
    except GatedRepoError:
        raise ModelUnavailable(
            f"{hub_id} asks for an agreement first; accept it on {constants.ENDPOINT}/{hub_id} "
            "when signed in there, and set HF_TOKEN to a token of that account."
        ) from None
    except RepositoryNotFoundError:
        raise ModelUnavailable(
            f"The hub has no model {hub_id} that is open to you; check how it is written, and set "
            "HF_TOKEN if it is a private one."
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise ModelUnavailable(
            f"The hub answered with an error ({status}) for {hub_id}; try again later."
        ) from error
    except _TryAgain as error:
        raise ModelUnavailable(
            f"The hub is too busy ({error}) for {hub_id}; run the same command again later."
        ) from error
    except httpx2.HTTPError as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelUnavailable(
            f"The hub at {constants.ENDPOINT} cannot be reached ({reason}); check the connection "
            "and run the same command again, which goes on from there."
        ) from error
    except OSError as error:
        raise ModelUnavailable(
            f"{hub_id} could not be stored ({error.strerror or error}); "
            "make room or correct the folder, and run the same command again."
        ) from error
