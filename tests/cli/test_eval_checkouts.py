"""`punie eval` on checkouts of benchmarks of others."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from tests.cli.conftest import Command
from tests.evaluation.suites.external.bfcl_depot import talk, write_depot, write_talks
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
    write_bfcl(gorilla, "memory", [question("memory_0", "Who?", fare)])
    write_bfcl(gorilla, "multi_turn_base", [talk("multi_turn_base_0", "Tram 3 to the north.")])
    asked = ("--checkout", f"aider-polyglot={polyglot}", "--checkout", f"bfcl={gorilla}")
    done = punie("eval", *asked, "--model", script({"text": "Ada."}))
    assert done.returncode == 0, done.stderr
    reason = "Exercises in Java are not run: Gradle works in a folder of the home folder"
    assert f"    2: {reason}" in done.stdout
    assert f"\naider-polyglot: {reason}" in done.stdout
    assert "    1: Questions of several turns need BFCL's programs, and " in done.stdout
    left_out = "bfcl: Left out are memory (memory is kept by other programs of BFCL"
    assert f"\n{left_out}" in done.stdout
    assert left_out in punie("track", "show", "last").stdout
    (page,) = (punie.state / "evaluations").glob("*/report.html")
    assert "Left out are memory" in page.read_text()


@pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here")
def test_functions_of_questions_of_several_turns_are_run(
    punie: Command, script: Callable[..., str], tmp_path: Path
) -> None:
    gorilla = tmp_path / "gorilla"
    asked = talk("multi_turn_miss_func_0", "Tram 3 north?", "", missed_function={"1": ["move"]})
    write_talks(write_depot(gorilla), [asked], [[], ["move(3, 'south')"]])
    move = {"tool": "move", "arguments": {"tram": 3, "source": "south"}}
    # Whoever says that it is done has moved nothing; so has a call of what is not yet offered.
    cases: list[tuple[list[dict[str, Any]], int, str]] = [
        ([{"text": "I cannot."}, {"calls": [move]}, {"text": "Done."}], 1, "Tram 3 is on north."),
        ([{"text": "I cannot."}, {"text": "Tram 3 is on north."}], 0, "no function was called"),
        ([{"calls": [move]}, {"text": "Done."}, {"text": "Done."}], 0, "no function was called"),
    ]
    for responses, solved, said in cases:
        asked_model = ("--checkout", f"bfcl={gorilla}", "--model", script(*responses))
        done = punie("eval", *asked_model, "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)["suites"]["bfcl"]["checks"]
        assert told["solved"]["strict"]["hits"] == solved
        newest = max((punie.state / "evaluations").glob("*/results.jsonl"), key=os.path.getmtime)
        assert said in newest.read_text()
