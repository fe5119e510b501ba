"""`punie eval` on checkouts of benchmarks of others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from tests.cli.conftest import Command
from tests.evaluation.suites.external.checkouts import (
    TRAM_FARE,
    function,
    question,
    write_bfcl,
    write_exercise,
)


@pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here")
def test_benchmarks_are_run_from_checkouts(
    punie: Command, script: Callable[..., str], tmp_path: Path
) -> None:
    track, polyglot, gorilla = (tmp_path / name for name in ("track", "polyglot", "gorilla"))
    write_exercise(track, "tram-fare", TRAM_FARE)
    write_exercise(polyglot / "python", "tram-fare", TRAM_FARE)
    fare = function("fare", {"zones": {"type": "integer"}}, "zones")
    lines = [question("irrelevance_0", "Who was Ada?", fare), '{"id": "irr']
    write_bfcl(gorilla, "irrelevance", lines)
    done = punie(
        "eval",
        *("--checkout", f"exercism={track}"),
        *("--checkout", f"aider-polyglot={polyglot}"),
        *("--checkout", f"bfcl={gorilla}"),
        *("--model", script({"text": "All tests pass."})),
        "--json",
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["suites"]
    strict = {name: suite["checks"]["solved"]["strict"] for name, suite in told.items()}
    assert {name: (rate["hits"], rate["of"]) for name, rate in strict.items()} == {
        "exercism": (0, 1),
        "aider-polyglot": (0, 1),
        "bfcl": (1, 2),
    }
