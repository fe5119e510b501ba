"""Contents by their digests, each in a file of its own, compressed."""

import os
import secrets
import zlib
from contextlib import suppress
from pathlib import Path

from punie.workspace.text_files import digest_of


class LostContentError(Exception):
    """A content is not in the store, or not whole."""


class BlobStore:
    """Bytes below a folder, which is made, for its owner only, with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Keep the bytes and return their digest; raise `OSError`."""
        digest = digest_of(data)
        path = self._path(digest)
        if path.exists():
            return digest
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Under its final name only when it is whole, whenever the process may end.
        unfinished = path.with_name(f".{secrets.token_hex(8)}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(zlib.compress(data, 1))
            unfinished.replace(path)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes of a digest; raise `LostContentError` if they are not there whole."""
        try:
            data = zlib.decompress(self._path(digest).read_bytes())
        except (OSError, zlib.error) as error:
            raise LostContentError(digest) from error
        if digest_of(data) != digest:
            raise LostContentError(digest)
        return data

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:]
