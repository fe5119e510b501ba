"""Ten thousand broken lines later the next request is still answered."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.e2e.client import Client
from tests.e2e.conftest import Start

LINES_SENT = 10_000
LINES_AT_ONCE = 25
LINES_PER_PROBE = 500

METHODS = st.sampled_from(
    [
        "initialize",
        "authenticate",
        "session/new",
        "session/load",
        "session/prompt",
        "session/cancel",
        "session/set_mode",
        "session/set_config_option",
        "session/list",
        "$/cancel_request",
        "_ext/thing",
        "",
        "no/such",
    ]
)
KEYS = st.sampled_from(
    ["sessionId", "cwd", "mcpServers", "prompt", "protocolVersion", "_meta", "modeId", "value",
     "configId", "methodId", "requestId", "clientInfo", "field_meta", "x"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["\ud800", "/", "/nonexistent", "\0", "🐍" * 9, "a" * 5000]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0", 2, None]),
        "id": VALUES,
        "method": METHODS | VALUES,
        "params": st.dictionaries(KEYS, VALUES, max_size=4) | VALUES,
        "result": VALUES,
        "error": VALUES,
        "type": VALUES,
    },
)


def as_line(value: Any) -> bytes:
    return json.dumps(value).encode()


WHOLE = MESSAGES.map(as_line)
LINES = st.one_of(
    WHOLE,
    WHOLE,
    st.tuples(WHOLE, st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]]),
    st.lists(MESSAGES, max_size=3).map(as_line),
    VALUES.map(as_line),
    st.binary(max_size=60).map(lambda data: data.replace(b"\n", b"")),
    st.integers(1, 30_000).map(lambda depth: b"[" * depth),
    st.integers(1, 3_000).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
    st.integers(1, 9_000).map(
        lambda digits: b'{"jsonrpc":"2.0","id":' + b"7" * digits + b',"method":"initialize"}'
    ),
)


@pytest.mark.slow
def test_fuzzed_lines(start: Start) -> None:
    client = start()
    client.initialize()
    sent = 0

    @settings(
        max_examples=LINES_SENT // LINES_AT_ONCE,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(st.lists(LINES, min_size=LINES_AT_ONCE, max_size=LINES_AT_ONCE))
    def feed(lines: list[bytes]) -> None:
        nonlocal sent
        client.write(b"\n".join(lines) + b"\n")
        sent += len(lines)
        if sent % LINES_PER_PROBE < LINES_AT_ONCE:
            still_answers(client, sent)

    feed()
    assert sent >= LINES_SENT
    still_answers(client, sent + 1)
    client.close_stdin()
    assert client.wait_exit() < 5
    assert client.process.returncode == 0
    assert client.stderr == ""


def still_answers(client: Client, number: int) -> None:
    probe = f"probe {number}"
    params = {"protocolVersion": 1}
    client.send({"jsonrpc": "2.0", "id": probe, "method": "initialize", "params": params})
    assert client.result(probe)["protocolVersion"] == 1
    client.messages.clear()
