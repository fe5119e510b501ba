"""Planted agents on suites of others: only what their own graders see counts."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from punie.evaluation.suite import Item, Suite
from punie.evaluation.suites.external.opening import open_suite
from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from tests.evaluation.planted.agents import WRONG, Habit, Turn, oracle
from tests.evaluation.planted.solutions import call
from tests.evaluation.planted.stage import results_of
from tests.evaluation.suites.external.checkouts import (
    RIGHT,
    TRAM_FARE,
    function,
    question,
    write_bfcl,
    write_exercise,
)

pytestmark = pytest.mark.anyio

TRAM = function("tram_fare", {"zones": {"type": "integer"}}, "zones")
NEEDS_CALL = ("simple_0", "live_relevance_0")
NEEDS_NONE = "irrelevance_0"
WITHOUT_CALLS = ("never_calls", "memorised")


@pytest.fixture
def bfcl(tmp_path: Path) -> Suite:
    folder = tmp_path / "bfcl"
    due = [{"id": "simple_0", "ground_truth": [{"tram_fare": {"zones": [2]}}]}]
    write_bfcl(folder, "simple", [question("simple_0", "Fare for 2 zones?", TRAM)], due)
    write_bfcl(folder, "irrelevance", [question(NEEDS_NONE, "Who was Ada?", TRAM)])
    write_bfcl(folder, "live_relevance", [question("live_relevance_0", "Is it far?", TRAM)])
    return open_suite("bfcl", folder)


def calls_tram(suite: Suite, item: Item) -> Sequence[Turn]:
    return [Turn([] if item.name == NEEDS_NONE else [call("tram_fare", zones=2)], "2 and 2.")]


@pytest.mark.parametrize("agent", WRONG)
async def test_a_function_is_called_rightly_or_not(bfcl: Suite, agent: str) -> None:
    results = await results_of(bfcl, [*NEEDS_CALL, NEEDS_NONE], WRONG[agent], calls_tram)
    solved = {result.item: result.solved.strict for result in results}
    calls = agent not in WITHOUT_CALLS
    assert solved == {
        "simple_0": False,
        # Whether anything is called, is all that BFCL's own scorer asks here.
        "live_relevance_0": calls,
        NEEDS_NONE: not calls or agent == "wrong_arguments",
    }


async def test_who_calls_rightly_has_full_marks(bfcl: Suite) -> None:
    results = await results_of(bfcl, [*NEEDS_CALL, NEEDS_NONE], oracle, calls_tram)
    assert all(each.strict for result in results for each in result.verdict.checks.values())


@pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here")
@pytest.mark.parametrize(
    ("agent", "due"),
    [(WRONG["echoes"], False), (WRONG["claims_success"], False), (oracle, True)],
)
async def test_an_exercise_is_solved_by_code_alone(tmp_path: Path, agent: Habit, due: bool) -> None:
    write_exercise(tmp_path / "python", "tram-fare", TRAM_FARE)
    suite = open_suite("exercism", tmp_path / "python")

    def writes(suite: Suite, item: Item) -> Sequence[Turn]:
        write = call("write_file", path="tram_fare.py", content=RIGHT)
        return [Turn([call("read_file", path="tram_fare.py"), write], RIGHT)]

    (result,) = await results_of(suite, suite.names(), agent, writes)
    assert (result.solved.strict, result.solved.soft) == (due, due)
