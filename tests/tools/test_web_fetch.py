"""web_fetch against servers on the loopback; what counts as public is changed for it."""

import contextlib
import gzip
import http.server
import ipaddress
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.agent.permissions.choices import offers
from punie.agent.permissions.judging import Place, Unruled, describe_call
from punie.agent.policy import Ask, decide
from punie.tools.base import ReadLedger, ToolContext, ToolError, ToolLimits
from punie.tools.web import addresses, fetching
from punie.tools.web.addresses import is_public
from punie.tools.web.fetching import Page, fetch
from punie.tools.web.reading import page_text
from punie.tools.web_fetch import WEB_FETCH, WEB_FETCH_PRIVATE, WebFetchArguments
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio

PAGE = """<!doctype html><html><head><title>The title</title><style>x</style></head><body>
<script>alert(1)</script><h1>Heading</h1><p>Some <b>bold</b> text, <a href="/more">more</a>.</p>
<img src="data:image/png;base64,AAAA"><ul><li>one</li><li>two</li></ul><pre>x  = 1</pre></body>"""

NAME = "here.example"
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class _Handler(http.server.BaseHTTPRequestHandler):
    answers: dict[str, Answer]
    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Host", "")))
        self.answers.get(self.path, _missing)(self)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _missing(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_error(404)


def _sends(body: bytes, kind: str = "text/html; charset=utf-8", **headers: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if kind:
            request.send_header("Content-Type", kind)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        # The client may have read enough.
        with contextlib.suppress(OSError):
            request.wfile.write(body)

    return answer


def _redirects(to: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", to)
        request.end_headers()

    return answer


class Server:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str]] = []
        handler = type("Handler", (_Handler,), {"answers": self.answers, "asked": self.asked})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if tls is not None:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.http.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def _answer_names(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    """Have the name server answer for `NAME`, with the last answer again and again."""
    real = socket.getaddrinfo

    def look_up(host: str | bytes | None, *rest: Any, **more: Any) -> Any:
        if host in (NAME, NAME.encode()):
            host = answers.pop(0) if len(answers) > 1 else answers[0]
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(LocalWorkspace([tmp_path]), ReadLedger())


async def _text(context: ToolContext, url: str, *, private: bool = True) -> str:
    tool = WEB_FETCH_PRIVATE if private else WEB_FETCH
    try:
        return (await tool.run(context, WebFetchArguments(url=url))).text
    except ToolError as error:
        return f"error: {error}"


async def test_a_page_becomes_markdown(server: Server, context: ToolContext) -> None:
    server.answers["/"] = _sends(PAGE.encode())
    url = server.url("/")
    shown = await WEB_FETCH.present(context, WebFetchArguments(url=url))
    assert shown.title == f"Fetch {url}"
    assert shown.kind == "fetch"
    assert await _text(context, url) == (
        "The title\n\n# Heading\n\nSome **bold** text, "
        f"[more]({server.url('/more')}).\n\n* one\n* two\n\n```\nx  = 1\n```"
    )
    assert server.asked == [("/", f"127.0.0.1:{server.port}")]


async def test_text_and_what_is_none(server: Server, context: ToolContext) -> None:
    server.answers["/json"] = _sends(b'{"a": 1}', "application/json")
    server.answers["/latin"] = _sends("café".encode("latin-1"), "text/plain; charset=latin-1")
    server.answers["/odd"] = _sends(b"text", "text/plain; charset=no-such")
    server.answers["/image"] = _sends(b"\x89PNG", "image/png")
    server.answers["/empty"] = _sends(b"<html></html>")
    server.answers["/untold"] = _sends(b"<html><body><p>x</p>", "")
    assert await _text(context, server.url("/json")) == '{"a": 1}'
    assert await _text(context, server.url("/latin")) == "café"
    assert await _text(context, server.url("/odd")) == "text"
    assert await _text(context, server.url("/empty")) == "(the page holds no text)"
    assert await _text(context, server.url("/untold")) == "x"
    image = server.url("/image")
    assert await _text(context, image) == (
        f"error: {image} is image/png, which cannot be read as text"
    )
    none = server.url("/none")
    assert await _text(context, none) == f"error: {none} answered with 404 Not Found"


async def test_redirects_are_followed_and_shown(
    server: Server, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer_names(monkeypatch, ["127.0.0.1"])
    server.answers["/a"] = _redirects("/b")
    server.answers["/b"] = _redirects(server.url("/c", NAME))
    server.answers["/c"] = _sends(b"here", "text/plain")
    server.answers["/loop"] = _redirects("/loop")
    server.answers["/file"] = _redirects("file:///etc/passwd")
    assert await _text(context, server.url("/a")) == (
        f"(redirected to {server.url('/c', NAME)})\nhere"
    )
    assert server.asked[-1] == ("/c", f"{NAME}:{server.port}")
    assert await _text(context, server.url("/loop")) == (
        f"error: {server.url('/loop')} redirects more than 5 times"
    )
    assert "is not a URL that begins with http" in await _text(context, server.url("/file"))


async def test_what_is_long_is_cut(
    server: Server, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/"] = _sends(b"x" * 5_000, "text/plain")
    short = ToolContext(context.workspace, context.reads, ToolLimits(result_chars=1000))
    text = await _text(short, server.url("/"))
    assert text.endswith("(first 900 of 5000 characters of the page)")
    assert len(text) <= 1000
    monkeypatch.setattr(fetching, "MAX_BYTES", 1_000)
    assert (await _text(context, server.url("/"))).endswith(
        "x\n(the page goes on; only its first 1000 bytes were read)"
    )


async def test_packed_pages_cannot_grow_without_bounds(
    server: Server, context: ToolContext
) -> None:
    server.answers["/gzip"] = _sends(gzip.compress(b"small"), "text/plain", Content_Encoding="gzip")
    server.answers["/zlib"] = _sends(
        zlib.compress(b"small"), "text/plain", Content_Encoding="deflate"
    )
    bomb = gzip.compress(b"0" * 50_000_000)
    server.answers["/bomb"] = _sends(bomb, "text/plain", Content_Encoding="gzip")
    server.answers["/br"] = _sends(b"x", "text/plain", Content_Encoding="br")
    server.answers["/broken"] = _sends(b"x", "text/plain", Content_Encoding="gzip")
    assert await _text(context, server.url("/gzip")) == "small"
    assert await _text(context, server.url("/zlib")) == "small"
    page = await fetch(server.url("/bomb"), private=True)
    assert (len(page.body), page.cut) == (fetching.MAX_BYTES, True)
    assert "packs its pages in a way that is not known (br)" in await _text(
        context, server.url("/br")
    )
    assert "cannot be unpacked" in await _text(context, server.url("/broken"))


async def test_a_server_that_hangs_or_drips(
    server: Server, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = threading.Event()

    def drip(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            while not gone.is_set():
                request.wfile.write(b"x")
                time.sleep(0.05)

    server.answers["/"] = drip
    monkeypatch.setattr(fetching, "SECONDS", 0.4)
    with anyio.fail_after(10):
        text = await _text(context, server.url("/"))
    gone.set()
    assert text == "error: 127.0.0.1 did not answer within 0.4 seconds"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", NAME, "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:127.0.0.1]"],
)
async def test_this_machine_is_not_reached(server: Server, context: ToolContext, host: str) -> None:
    text = await _text(context, server.url("/", host), private=False)
    assert "is an address of this machine or its network" in text or "not known" in text
    assert server.asked == []


async def test_a_redirect_does_not_lead_inside(
    server: Server, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda address: str(address) == "127.0.0.1")
    inside = f"http://127.0.0.2:{server.port}/secret"
    server.answers["/"] = _redirects(inside)
    server.answers["/metadata"] = _redirects("http://169.254.169.254/latest/meta-data/")
    server.answers["/secret"] = _sends(b"secret", "text/plain")
    for path in ("/", "/metadata"):
        text = await _text(context, server.url(path), private=False)
        assert "is an address of this machine or its network" in text
    assert [path for path, _ in server.asked] == ["/", "/metadata"]


async def test_a_name_is_looked_up_once(
    server: Server, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that says another thing the second time gets nowhere."""
    answers = ["127.0.0.1", "127.0.0.9", "127.0.0.9"]
    _answer_names(monkeypatch, answers)
    monkeypatch.setattr(addresses, "is_public", lambda address: str(address) == "127.0.0.1")
    server.answers["/"] = _sends(b"fine", "text/plain")
    assert await _text(context, server.url("/", NAME), private=False) == "fine"
    assert len(answers) == 2
    assert server.asked == [("/", f"{NAME}:{server.port}")]


async def test_certificates_are_checked_for_the_name(
    tmp_path: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to an address, but the name is what the certificate has to be for."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
        *("-subj", f"/CN={NAME}", "-keyout", str(key), "-out", str(certificate)),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    _answer_names(monkeypatch, ["127.0.0.1"])
    names: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    server = Server(tls)
    try:
        text = await _text(context, f"https://{NAME}:{server.port}/")
    finally:
        server.http.shutdown()
        server.http.server_close()
    assert names == [NAME]
    assert "could not be reached" in text
    assert "certificate" in text.lower()
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://example.com/x", "is not a URL that begins with http:// or https://"),
        ("file:///etc/passwd", "is not a URL that begins with http:// or https://"),
        ("example.com", "is not a URL that begins with http:// or https://"),
        ("http://", "is not a URL that begins with http:// or https://"),
        ("", "is not a URL"),
        ("http://user:secret@example.com/", "user name or password"),
        ("http://x\0y/", "is not a URL"),
    ],
)
async def test_what_is_no_url(context: ToolContext, url: str, sentence: str) -> None:
    with pytest.raises(ToolError, match=sentence):
        await WEB_FETCH.present(context, WebFetchArguments(url=url))


async def test_a_host_that_is_not_there(context: ToolContext) -> None:
    assert await _text(context, "http://no-such-host.invalid/") == (
        "error: no-such-host.invalid is not known to the name server"
    )
    closed = Server()
    closed.http.shutdown()
    closed.http.server_close()
    assert "127.0.0.1 could not be reached" in await _text(context, closed.url("/"))


async def test_it_is_asked_for(context: ToolContext) -> None:
    for mode in ("ask", "accept_edits"):
        assert isinstance(decide(mode, WEB_FETCH.effect, Unruled()), Ask)
    place = Place(context.workspace)
    call = describe_call(WEB_FETCH, WebFetchArguments(url="http://example.com"), place)
    assert [offer.choice.kind for offer in offers(call, (), place)] == [
        "allow_once",
        "allow_always",
        "allow_always",
        "reject_once",
        "reject_always",
    ]


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("168.63.129.16", False),
        ("100.100.100.200", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:a00:1::", False),
    ],
)
def test_public_addresses(text: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(text)) == public


@given(st.ip_addresses(v=4))
def test_every_way_to_write_an_old_address_as_a_new_one_is_judged_the_same(
    address: ipaddress.IPv4Address,
) -> None:
    for written in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_public(ipaddress.ip_address(written)) == is_public(address)


def test_html_that_is_hostile() -> None:
    deep = Page("http://x/", "text/html", None, b"<div>" * 5_000 + b"deep" + b"</div>" * 5_000)
    assert "deep" in page_text(deep)
    odd = Page("http://x/", "text/html", "no-such", b"<a href='http://[x'>link</a><b>text")
    assert "text" in page_text(odd)
