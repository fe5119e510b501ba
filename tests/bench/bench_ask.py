"""How long `punie ask` takes to its first word and to its end, here and in a server that runs.

Both are started alternately with a model that answers from a script; prints the medians and the
processor time of the command. A command may be compared with that of another checkout:

    python tests/bench/bench_ask.py [--runs 10] [--other /path/to/punie]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from punie.server.record import read_record


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Run a command; return seconds to its first output, to its end, and of the processor."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=environment["HOME"],
    )
    assert process.stdout is not None
    first = os.read(process.stdout.fileno(), 1)
    heard = time.perf_counter() - begin
    rest = process.stdout.read()
    process.stdout.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert (process.returncode, first + rest) == (0, b"Good morning.\n"), first + rest
    return heard, time.perf_counter() - begin, used.ru_utime + used.ru_stime


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--other")
    given = parser.parse_args()
    punie = str(Path(sys.executable).with_name("punie"))
    ways = {
        "in process": [punie, "ask", "--in-process", "Hello"],
        "shared": [punie, "ask", "--shared", "Hello"],
    }
    if given.other:
        ways["other"] = [given.other, "ask", "Hello"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.json"
        script.write_text(json.dumps({"responses": [{"text": "Good morning."}], "repeat": True}))
        environment = os.environ | {
            "HOME": folder,
            "PUNIE_STATE_DIR": f"{folder}/state",
            "PUNIE_CONFIG_DIR": f"{folder}/config",
            "PUNIE_MODEL": f"scripted:{script}",
        }
        results: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
        try:
            for run in range(given.runs + 1):
                for way, command in ways.items():
                    measured = measure(command, environment)
                    if run:  # The first one fills caches and starts the server.
                        results[way].append(measured)
        finally:
            record = read_record(Path(folder) / "state")
            if record is not None:
                os.kill(record.pid, signal.SIGTERM)
                time.sleep(1)
    for way, rows in results.items():
        heard, took, used = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{way:>10}: first word {heard:.2f} s, end {took:.2f} s, processor {used:.2f} s")


if __name__ == "__main__":
    main()
