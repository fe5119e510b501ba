"""Lines that clients should not send: messages with everything wrong, and no messages at all."""

import json
from typing import Any

from hypothesis import strategies as st

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
