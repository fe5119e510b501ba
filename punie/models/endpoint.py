"""The OpenAI-compatible server that the user's settings name. Nothing here opens a connection.

What a session says goes there, so only the user may name it, and the key is read where it is used
and kept out of everything that is printed or logged.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from punie.models.catalog import ModelUnavailable

KEY_VARIABLE = "PUNIE_OPENAI_KEY"
_KEY_BYTES = 8_192
_REASON_CHARS = 200


@dataclass(frozen=True)
class Endpoint:
    """A server by its base URL; `context` is its models' window in tokens, None if it tells.

    `named_by` is where the user wrote the URL, for sentences that ask to correct it.
    """

    url: str
    key_file: Path | None = None
    context: int | None = None
    named_by: str = "openai_url"

    @property
    def host(self) -> str:
        """The name or address of the machine."""
        from urllib.parse import urlsplit

        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """What stands behind the host."""
        from urllib.parse import urlsplit

        return urlsplit(self.url).path

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        if self.host == "localhost":
            return True
        import ipaddress

        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def shows_key(self) -> bool:
        """Whether a key would cross the network for everybody to read."""
        return not self.is_local and self.url.startswith("http:")


def needed_endpoint(endpoint: Endpoint | None, reference: str) -> Endpoint:
    """Return the server that `reference` needs; raise `ModelUnavailable` if none is named."""
    if endpoint is None:
        raise ModelUnavailable(
            f"The model {reference} needs a server; set openai_url in your settings or "
            "PUNIE_OPENAI_URL, such as http://127.0.0.1:8080/v1."
        )
    return endpoint


def read_key(endpoint: Endpoint) -> str | None:
    """Return the server's key, from the environment or else its file; None if it needs none.

    Raises `ModelUnavailable` for a file that cannot be read, or that others can read.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given:
        return _checked(given, KEY_VARIABLE)
    if endpoint.key_file is None:
        return None
    path = endpoint.key_file
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise ModelUnavailable(f"Others can read the key in {path}; run chmod 600 {path}.")
            raw = file.read(_KEY_BYTES + 1)
    except OSError as error:
        raise ModelUnavailable(
            f"The key in {path} cannot be read ({error.strerror}); correct openai_key_file."
        ) from None
    return _checked(raw.decode("utf-8", "replace"), str(path))


def _checked(text: str, where: str) -> str:
    key = text.strip()
    if not key or len(key) > _KEY_BYTES or not key.isascii() or not key.isprintable():
        raise ModelUnavailable(f"There is no key in {where}; it must be one line of plain text.")
    return key


def reason_of(body: object) -> str:
    """Return what a server says in the body of an error, as servers variously put it."""
    if isinstance(body, dict):
        for name in ("message", "error", "detail"):
            if found := reason_of(body.get(name)):
                return found
        return ""
    return body if isinstance(body, str) else ""


def one_line(text: object) -> str:
    """Return the beginning of a server's words, to be quoted in a sentence."""
    return " ".join(str(text).split())[:_REASON_CHARS].rstrip(".")
