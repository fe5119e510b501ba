"""How long until `initialize` is answered, against a bare echo agent on the same SDK.

Both are started alternately, from the start of the process to the answer; prints both medians and
their ratio, which has to stay at most 1.3:

    python tests/bench/bench_initialize.py [--runs 10]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1.3
ECHO = """
import asyncio
from acp import PROTOCOL_VERSION, Agent, InitializeResponse, run_agent

class Echo(Agent):
    async def initialize(self, protocol_version, **kwargs):
        return InitializeResponse(protocol_version=PROTOCOL_VERSION)

asyncio.run(run_agent(Echo()))
"""
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": 1, "clientCapabilities": {}},
}


def seconds_to_answer(command: list[str], environment: dict[str, str]) -> float:
    """Start an agent, ask it to initialize, and return the seconds until the answer was read."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    took = time.perf_counter() - begin
    assert answer["result"]["protocolVersion"] == 1, answer
    process.stdin.close()
    process.wait(timeout=20)
    process.stdout.close()
    return took


def main() -> int:
    """Run the comparison; 1 when the ratio is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    punie = [str(Path(sys.executable).with_name("punie")), "acp"]
    echo = [sys.executable, "-c", ECHO]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "HOME": folder,
            "PUNIE_STATE_DIR": f"{folder}/state",
            "PUNIE_CONFIG_DIR": f"{folder}/config",
        }
        times: dict[str, list[float]] = {"echo": [], "punie": []}
        for number in range(runs + 1):
            for name, command in (("echo", echo), ("punie", punie)):
                took = seconds_to_answer(command, environment)
                if number:  # the first round fills the disk cache
                    times[name].append(took)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["punie"] / medians["echo"]
    for name, median in medians.items():
        print(f"{name:6} {median:.3f} s (median of {runs})")
    print(f"ratio  {ratio:.2f} (at most {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
