"""Ten thousand broken lines later the next request is still answered."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.broken_lines import LINES
from tests.e2e.client import Client
from tests.e2e.conftest import Start

LINES_SENT = 10_000
LINES_AT_ONCE = 25
LINES_PER_PROBE = 500


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
