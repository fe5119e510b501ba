"""Getting one page over HTTP: few redirects, few bytes, a short time, no cookies, no proxy."""

import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from punie.tools.base import ToolError
from punie.tools.web.addresses import reachable_addresses
from punie.tools.wording import one_line

if TYPE_CHECKING:
    import httpx2

MAX_BYTES = 2_000_000
"""More of a page is never read, however it was packed."""

MAX_REDIRECTS = 5
SECONDS = 30.0
_SHOWN_CHARS = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Page:
    """What came: `url` is where it came from, after all redirects; `cut` if there was more."""

    url: str
    content_type: str
    charset: str | None
    body: bytes
    cut: bool = False


def checked_url(text: str) -> "httpx2.URL":
    """Read a URL; raise `ToolError` if it is none that can be fetched."""
    import httpx2

    shown = one_line(text, _SHOWN_CHARS)
    try:
        url = httpx2.URL(text.strip())
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        raise ToolError(f"{shown} is not a URL") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ToolError(f"{shown} is not a URL that begins with http:// or https://")
    if url.userinfo:
        raise ToolError("a URL with a user name or password in it is not fetched")
    return url


async def fetch(text: str, *, private: bool) -> Page:
    """Get a page, following redirects; raise `ToolError` with the reason if it cannot be had.

    `private` allows addresses of this machine and its network.
    """
    url = checked_url(text)
    try:
        with anyio.fail_after(SECONDS):
            for _ in range(MAX_REDIRECTS + 1):
                result = await _get(url, private=private)
                if isinstance(result, Page):
                    return result
                url = checked_url(str(result))
    except TimeoutError as error:
        raise ToolError(f"{url.host} did not answer within {SECONDS:g} seconds") from error
    raise ToolError(f"{one_line(text, _SHOWN_CHARS)} redirects more than {MAX_REDIRECTS} times")


async def _get(url: "httpx2.URL", *, private: bool) -> "Page | httpx2.URL":
    """Return the page at a URL, or where it says to look instead."""
    import httpx2

    port = url.port or (443 if url.scheme == "https" else 80)
    addresses = await reachable_addresses(url.host, port, private=private)
    # Neither proxies nor .netrc: a proxy would look the name up again.
    async with httpx2.AsyncClient(
        trust_env=False, follow_redirects=False, timeout=SECONDS
    ) as client:
        failure: Exception | None = None
        for address in addresses:
            request = client.build_request(
                "GET",
                url.copy_with(host=address, fragment=None),
                headers={
                    "Host": url.netloc.decode("ascii"),
                    "User-Agent": "punie",
                    "Accept": "text/html,text/*;q=0.9,application/json;q=0.9,*/*;q=0.1",
                    "Accept-Encoding": "gzip",
                },
                extensions={"sni_hostname": url.host},
            )
            try:
                response = await client.send(request, stream=True)
            except httpx2.ConnectError as error:
                failure = error
                continue
            except httpx2.HTTPError as error:
                raise ToolError(f"{url.host} could not be reached: {_said(error)}") from error
            try:
                return await _answer(url, response)
            except httpx2.HTTPError as error:
                raise ToolError(f"{url.host} broke off: {_said(error)}") from error
            finally:
                await response.aclose()
    reason = _said(failure) if failure is not None else "it has no address"
    raise ToolError(f"{url.host} could not be reached: {reason}")


def _said(error: Exception) -> str:
    return one_line(str(error) or type(error).__name__, _SHOWN_CHARS)


async def _answer(url: "httpx2.URL", response: "httpx2.Response") -> "Page | httpx2.URL":
    import httpx2

    location = response.headers.get("location")
    if response.status_code in _REDIRECTS and location:
        try:
            return url.join(location)
        except (httpx2.InvalidURL, ValueError) as error:
            raise ToolError(f"{url.host} redirects to what is not a URL") from error
    if response.status_code != 200:
        phrase = f" {response.reason_phrase}" if response.reason_phrase else ""
        raise ToolError(f"{url} answered with {response.status_code}{phrase}")
    body, cut = await _body(url, response)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().casefold()
    return Page(str(url), kind, response.charset_encoding, body, cut)


async def _body(url: "httpx2.URL", response: "httpx2.Response") -> tuple[bytes, bool]:
    """Return the first bytes of the body, unpacked here so that a small one cannot become huge."""
    packing = response.headers.get("content-encoding", "identity").strip().casefold()
    if packing in ("identity", ""):
        pieces: AsyncIterator[bytes] = response.aiter_raw()
    elif packing in ("gzip", "x-gzip", "deflate"):
        pieces = _unpacked(url, response.aiter_raw())
    else:
        raise ToolError(f"{url.host} packs its pages in a way that is not known ({packing[:40]})")
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > MAX_BYTES:
            return bytes(body[:MAX_BYTES]), True
    return bytes(body), False


async def _unpacked(url: "httpx2.URL", pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # 32: whichever of gzip and zlib it is.
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    left = MAX_BYTES + 1
    try:
        async for piece in pieces:
            unpacked = unpacker.decompress(piece, left)
            left -= len(unpacked)
            yield unpacked
            if left <= 0:
                return
        if not unpacker.eof:
            raise zlib.error("the end is missing")
    except zlib.error as error:
        raise ToolError(f"{url.host} sent a page that cannot be unpacked") from error
