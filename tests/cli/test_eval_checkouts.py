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


@pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here")
def test_what_is_not_run_is_said_with_the_reason(
    punie: Command, script: Callable[..., str], tmp_path: Path
) -> None:
    polyglot, gorilla = tmp_path / "polyglot", tmp_path / "gorilla"
    for name in ("one", "two"):
        write_exercise(polyglot / "java", name, TRAM_FARE)
    fare = function("fare", {"zones": {"type": "integer"}}, "zones")
    write_bfcl(gorilla, "irrelevance", [question("irrelevance_0", "Who was Ada?", fare)])
    write_bfcl(gorilla, "multi_turn_base", [question("multi_turn_base_0", "Who?", fare)])
    asked = ("--checkout", f"aider-polyglot={polyglot}", "--checkout", f"bfcl={gorilla}")
    done = punie("eval", *asked, "--model", script({"text": "Ada."}))
    assert done.returncode == 0, done.stderr
    reason = "Exercises in Java are not run: Gradle works in a folder of the home folder"
    assert f"    2: {reason}" in done.stdout
    assert f"\naider-polyglot: {reason}" in done.stdout
    left_out = "bfcl: Left out are multi_turn_base (several turns"
    assert f"\n{left_out}" in done.stdout
    assert left_out in punie("track", "show", "last").stdout
    (page,) = (punie.state / "evaluations").glob("*/report.html")
    assert "Left out are multi_turn_base" in page.read_text()
