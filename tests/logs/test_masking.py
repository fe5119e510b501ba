from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.logs.credentials import MASK, is_secret_name
from punie.logs.masking import LONGEST_TEXT, Masker

SECRET = "s3cr3t-Va1ue-0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "IJ_MCP_AUTH_TOKEN",
        "accessToken",
        "api_key",
        "apiKey",
        "API-KEY",
        "OPENAI_API_KEY",
        "password",
        "dbPassword",
        "client_secret",
        "Authorization",
        "cookie",
        "private_key",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "tokens", "context_tokens", "key", "keyboard", "path", "author", "session"],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"authorization: Basic {SECRET}",
        f"GET /x?key={SECRET}&y=1",
        f"api_key={SECRET}",
        f"api_key = '{SECRET}'",
        f'{{"token": "{SECRET}"}}',
        f"OPENAI_API_KEY={SECRET} punie",
        f"password: {SECRET}",
        f"the token is {SECRET}",
        f"token {SECRET}",
        f"secret ({SECRET})",
        f"https://user:{SECRET}@example.org/x",
        "sk-proj-0123456789abcdefghij",
        "ghp_0123456789abcdefghijABCDEFGHIJ",
        "hf_0123456789abcdefghij",
        "AKIAIOSFODNN7EXAMPLE0",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_in_texts(text: str) -> None:
    masked = Masker({}).text(text)
    assert MASK in masked
    for secret in (SECRET, "0123456789abcdef", "EXAMPLE0", "eyJzdWIi", "MIIEow"):
        assert secret not in masked


@pytest.mark.parametrize(
    "text",
    [
        "turn ended",
        "max_tokens=4096",
        "read tests/tokens/test_keys.py",
        "KeyError: 'name'",
        "session 0f8c2d2e-5b7a-4d1c-9e3f-2a1b3c4d5e6f started",
        "https://example.org:8080/path",
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    assert Masker({}).text(text) == text


def test_values_of_the_environment_are_masked_anywhere() -> None:
    masker = Masker({"MY_PASSWORD": "correct horse", "HOME": "/home/somebody", "PIN_TOKEN": "1"})
    assert (
        masker.text("it is correct horse, in /home/somebody 1")
        == f"it is {MASK}, in /home/somebody 1"
    )


def test_fields_of_all_kinds() -> None:
    entry: dict[str, Any] = {
        "token": SECRET,
        "count": 3,
        "max_tokens": 4096,
        "env": {"A": "x", "B": 1},
        "environment": [{"name": "A", "value": "x"}],
        "headers": [{"name": "X", "value": SECRET}],
        "params": {"_meta": {"proxyConfig": SECRET}},
        "nested": {"list": [{"apiKey": SECRET}], "text": f"key={SECRET}"},
        "data": b"bytes",
        "other": Exception(f"token={SECRET}"),
    }
    masked = Masker({}).mask(entry)
    assert SECRET not in repr(masked)
    assert masked["count"] == 3
    assert masked["max_tokens"] == 4096
    assert masked["env"] == {"A": MASK, "B": MASK}
    assert masked["environment"] == [{"name": "A", "value": MASK}]
    assert masked["params"] == MASK
    assert masked["data"] == "<5 bytes>"


def test_long_texts_are_cut_and_a_secret_at_the_cut_is_gone() -> None:
    text = "x" * (LONGEST_TEXT - 20) + f" token={SECRET} " + "y" * 5_000
    masked = Masker({}).text(text)
    assert len(masked) < LONGEST_TEXT + 60
    assert "s3cr3t" not in masked
    assert "characters more" in masked


def test_deep_and_endless_values_end() -> None:
    deep: list[Any] = []
    for _ in range(2_000):
        deep = [deep]
    assert "…" in repr(Masker({}).mask(deep))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_masking_never_fails_and_masked_stays_masked(value: Any) -> None:
    masker = Masker({})
    once = masker.mask(value)
    assert masker.mask(once) == once


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_bearer_token_never_gets_through(before: str, after: str) -> None:
    assert SECRET not in Masker({}).text(f"{before} Bearer {SECRET} {after}")


def test_folders_that_the_shell_keeps_in_the_environment_are_no_secrets() -> None:
    masker = Masker({"PWD": "/home/a/project", "OLDPWD": "/home/a/other", "DB_PWD": "hunter2222"})
    assert masker.text("/home/a/project /home/a/other") == "/home/a/project /home/a/other"
    assert masker.text("uses hunter2222") == "uses ***"
