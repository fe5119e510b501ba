"""Who is let in: the right token, under the right name, from no foreign page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.server.access import LOOPBACK_NAMES, Access

ACCESS = Access("right-token", 4711)


def refusal(
    *,
    path: str = "/acp",
    host: str | None = "127.0.0.1:4711",
    origin: str | None = None,
    authorization: str | None = "Bearer right-token",
    kind: str = "http",
    subprotocols: tuple[str, ...] = (),
    access: Access = ACCESS,
) -> int | None:
    given = {"host": host, "origin": origin, "authorization": authorization}
    headers = [
        (name.encode(), value.encode("latin-1"))
        for name, value in given.items()
        if value is not None
    ]
    scheme = {"http": "http", "websocket": "ws"}[kind]
    scope = {
        "type": kind,
        "path": path,
        "headers": headers,
        "scheme": scheme,
        "subprotocols": list(subprotocols),
    }
    refused = access.refusal(scope)
    return None if refused is None else refused[0]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4711", "localhost:4711", "[::1]:4711", "LOCALHOST:4711"]
)
def test_the_own_names_are_taken(host: str) -> None:
    assert refusal(host=host) is None
    assert refusal(host=host, origin=f"http://{host}") is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:4711",
        "127.0.0.1",
        "127.0.0.1:4712",
        "127.0.0.1.evil.example:4711",
        "localhost.evil.example:4711",
        "evil.example#localhost:4711",
        "localhost:4711@evil.example",
        "2130706433:4711",
        "0x7f.1:4711",
        "[::ffff:127.0.0.1]:4711",
        "[::1",
        "localhost:port",
        "localhost:99999999",
    ],
)
def test_a_name_that_was_pointed_here_is_refused(host: str | None) -> None:
    assert refusal(host=host) == 421
    assert refusal(host=host, path="/health") == 421


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://localhost",
        "http://localhost:3000",
        "https://localhost:4711.evil.example",
        "http://evil.example:4711",
        "http://localhost:4711.evil.example",
        "file://",
        "chrome-extension://abcdef",
        "vscode-webview://x",
    ],
)
def test_a_page_from_elsewhere_is_refused_even_with_the_token(origin: str) -> None:
    for kind in ("http", "websocket"):
        assert refusal(origin=origin, kind=kind) == 403


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic right-token", "right-token",
     "Bearer right-token2", "Bearer right-toke", "Bearer r\u00efght-token"],
)  # fmt: skip
def test_without_the_token_nothing_goes(authorization: str | None) -> None:
    assert refusal(authorization=authorization) == 401
    assert refusal(authorization=authorization, path="/metrics") == 401
    assert refusal(authorization=authorization, kind="websocket") == 401


def test_what_holds_no_secret_is_open() -> None:
    for path in ("/", "/health", "/page.js", "/page.css"):
        assert refusal(path=path, authorization=None) is None


def test_a_page_gives_the_token_as_a_subprotocol() -> None:
    right = ("acp", "punie.token.right-token")
    assert refusal(authorization=None, kind="websocket", subprotocols=right) is None
    for wrong in (("acp",), ("acp", "punie.token."), ("acp", "punie.token.wrong")):
        assert refusal(authorization=None, kind="websocket", subprotocols=wrong) == 401


def test_a_server_for_other_machines_answers_under_its_own_name_too() -> None:
    access = Access("right-token", 443, LOOPBACK_NAMES | {"studio.local"})
    headers = [(b"host", b"studio.local"), (b"authorization", b"Bearer right-token")]
    scope = {"type": "http", "path": "/acp", "headers": headers, "scheme": "https"}
    assert access.refusal(scope) is None
    assert access.refusal({**scope, "headers": [(b"host", b"studio.lan"), headers[1]]}) is not None


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=60))
def test_nothing_that_is_sent_breaks_the_check(host: str, origin: str, token: str) -> None:
    def latin(text: str) -> str:
        return text.encode("latin-1", "replace").decode("latin-1")

    status = refusal(host=latin(host), origin=latin(origin), authorization=latin(token))
    assert status in (None, 401, 403, 421)
    assert refusal(authorization="Bearer " + latin(token)) in (401, None)
    assert (refusal(authorization="Bearer " + latin(token)) is None) == (
        latin(token).strip() == "right-token"
    )
