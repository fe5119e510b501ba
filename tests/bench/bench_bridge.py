"""What `punie acp --shared` costs against an agent in the process, in the same run.

Both are asked alternately: small requests, for what a message takes more there and back; answers of
a random model, for the tokens per second; prompts of a script that answers at once. Prints the
medians, their differences and ratios with the limits, what the bridge's memory is after that, and
how long a start takes until `initialize` is answered:

    python tests/bench/bench_bridge.py [--runs 300] [--answers 8]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models import qwen3

from tests.bench.bench_acp import Agent, Json, prompt
from tests.e2e.client import kill_server
from tests.models.tiny_model import build_model, save_weights

MESSAGE_LIMIT = 2.0
SPEED_LIMIT = 0.97
MEMORY_LIMIT = 60.0
TOKENS = 128
PUNIE = str(Path(sys.executable).with_name("punie"))
WAYS = ("--in-process", "--shared")


def environment(folder: Path, model: str) -> dict[str, str]:
    """Return the variables of an agent that keeps everything in a folder."""
    return os.environ | {
        "HOME": str(folder),
        "PUNIE_STATE_DIR": str(folder / "state"),
        "PUNIE_CONFIG_DIR": str(folder / "config"),
        "PUNIE_MODEL": model,
        "PUNIE_TEMPERATURE": "0",
        "PUNIE_MAX_TOKENS": str(TOKENS),
        "PUNIE_MAX_REQUESTS": "1",
    }


@contextmanager
def started(way: str, variables: dict[str, str]) -> Iterator[tuple[Agent, int, float]]:
    """Start an agent; yield it, its process and the seconds until `initialize` was answered."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [PUNIE, "acp", way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=variables,
    )
    try:
        agent = Agent(process)
        agent.call("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
        yield agent, process.pid, time.perf_counter() - begin
    finally:
        process.kill()
        process.wait()


def large_model(folder: Path) -> Path:
    """Build a random model that is slow enough to be measured and large enough to be slow."""
    build_model(folder, window=16_384)
    file = folder / "config.json"
    config: dict[str, Any] = json.loads(file.read_text())
    config |= {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8}
    config |= {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64}
    file.write_text(json.dumps(config))
    mx.random.seed(0)
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))  # type: ignore[no-untyped-call]
    save_weights(folder, model)
    return folder


def round_trip(agent: Agent) -> float:
    """Return the milliseconds of a request that is answered at once."""
    begin = time.perf_counter()
    agent.call("authenticate", {"methodId": "local"})
    return (time.perf_counter() - begin) * 1000


def answer(agent: Agent, folder: Path) -> float:
    """Have an answer written in a new session; return its pieces per second from the first on."""
    params: Json = {"cwd": str(folder), "mcpServers": []}
    session = agent.call("session/new", params)["sessionId"]
    times = [
        seconds
        for seconds, message in agent.stream(
            "session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": "Go"}]}
        )
        if message.get("params", {}).get("update", {}).get("sessionUpdate", "").endswith("_chunk")
    ]
    return (len(times) - 1) / (times[-1] - times[0])


def alternately(
    agents: dict[str, Agent], runs: int, measure: Callable[[Agent], float]
) -> dict[str, float]:
    """Return the median of each way; who comes first changes."""
    found: dict[str, list[float]] = {way: [] for way in agents}
    for number in range(runs):
        for way in sorted(agents, reverse=bool(number % 2)):
            found[way].append(measure(agents[way]))
    return {way: statistics.median(values) for way, values in found.items()}


def memory_of(pid: int) -> float:
    """Return the resident memory of a process, in megabytes."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(listed.stdout) / 1024


def end_servers(state: Path) -> None:
    """End what the bridges have started, now that they are gone."""
    while kill_server(state) is not None:
        pass


def report(label: str, found: dict[str, float], unit: str) -> tuple[float, float]:
    """Print both medians; return them, the one in the process first."""
    alone, shared = (found[way] for way in WAYS)
    print(f"{label:30} {alone:8.2f} {unit} in-process, {shared:8.2f} {unit} shared")
    return alone, shared


def measure(folder: Path, runs: int, answers: int) -> bool:
    """Measure everything; tell whether all limits are met."""
    good = True
    script = folder / "script.json"
    script.write_text('{"responses": [{"text": "Done.", "chunks": 1}], "repeat": true}')
    with ExitStack() as stack:
        stack.callback(end_servers, folder / "state")
        variables = environment(folder, f"scripted:{script}")
        ways = {way: stack.enter_context(started(way, variables)) for way in WAYS}
        agents = {way: agent for way, (agent, _, _) in ways.items()}
        alternately(agents, 20, round_trip)
        alone, shared = report("request and answer", alternately(agents, runs, round_trip), "ms")
        more = (shared - alone) / 2
        print(f"{'  more for a message':30} {more:8.2f} ms (at most {MESSAGE_LIMIT:.0f})")
        good = good and more <= MESSAGE_LIMIT
        sessions = {
            agent: agent.call("session/new", {"cwd": str(folder), "mcpServers": []})["sessionId"]
            for agent in agents.values()
        }

        def turn(agent: Agent) -> float:
            return prompt(agent, sessions[agent])[1]

        alternately(agents, 3, turn)
        report("a turn without a model", alternately(agents, 30, turn), "ms")
        model = environment(folder, str(large_model(folder / "model")))
        agents = {way: stack.enter_context(started(way, model))[0] for way in WAYS}
        alternately(agents, 1, lambda agent: answer(agent, folder))
        speeds = alternately(agents, answers, lambda agent: answer(agent, folder))
        alone, shared = report("pieces of an answer", speeds, "/s")
        print(f"{'  shared to in-process':30} {shared / alone:8.3f} (at least {SPEED_LIMIT})")
        good = good and shared / alone >= SPEED_LIMIT
        memory = memory_of(ways["--shared"][1])
        print(f"{'memory of the bridge':30} {memory:8.1f} MB (below {MEMORY_LIMIT:.0f})")
        good = good and memory < MEMORY_LIMIT
        starts: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(5):
            for way in WAYS:
                with started(way, variables) as (_, _, seconds):
                    starts[way].append(seconds * 1000)
        report("start to initialize", {way: statistics.median(starts[way]) for way in WAYS}, "ms")
        stack.pop_all().close()
        with started("--shared", variables) as (_, _, seconds):
            print(f"{'  with the server to start':30} {seconds * 1000:8.2f} ms")
        end_servers(folder / "state")
    return good


def main() -> int:
    """Measure; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--answers", type=int, default=8)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return int(not measure(Path(name), chosen.runs, chosen.answers))


if __name__ == "__main__":
    sys.exit(main())
