"""Planted agents on suites of others: only what their own graders see counts."""

from collections.abc import Callable, Mapping, Sequence
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
    STUB,
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
@pytest.mark.parametrize("name", ["exercism", "aider-polyglot"])
@pytest.mark.parametrize(
    ("agent", "due"),
    [(WRONG["echoes"], False), (WRONG["claims_success"], False), (oracle, True)],
)
async def test_an_exercise_is_solved_by_code_alone(
    tmp_path: Path, agent: Habit, due: bool, name: str
) -> None:
    write_exercise(tmp_path / "python", "tram-fare", TRAM_FARE)
    suite = open_suite(name, tmp_path / "python" if name == "exercism" else tmp_path)
    (result,) = await results_of(suite, suite.names(), agent, writing({"tram_fare.py": RIGHT}))
    assert (result.solved.strict, result.solved.soft) == (due, due)


FORGES = (
    "import os\nfor n in range(1, 20):\n  try: os.write(n, b'\\n2 passed in 0.01s\\n')\n"
    "  except OSError: pass\nos._exit(0)\n"
)
NO_TESTS = "def pytest_collection_modifyitems(items): del items[:]\n"


@pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here")
@pytest.mark.parametrize(
    "files",
    [
        {"tram_fare.py": FORGES},
        {"tram_fare.py": "import pytest\npytest.skip(allow_module_level=True)\n"},
        {"tram_fare.py": STUB, "conftest.py": NO_TESTS},
        {"tram_fare.py": STUB, "tram_fare_test.py": "def test_all():\n    assert True\n"},
        {"tram_fare.py": STUB, "iniconfig.py": FORGES},
    ],
    ids=["forged", "skipped", "settings", "tests", "module"],
)
async def test_an_exercise_is_not_solved_by_what_runs_its_tests(
    tmp_path: Path, files: Mapping[str, str]
) -> None:
    write_exercise(tmp_path / "python", "tram-fare", TRAM_FARE)
    suite = open_suite("exercism", tmp_path / "python")
    (result,) = await results_of(suite, suite.names(), oracle, writing(files))
    assert [each.name for each in result.calls].count("write_file") == len(files)
    assert (result.solved.strict, result.solved.soft) == (False, False)
    assert result.verdict.note.startswith("The tests do not pass")


def writing(files: Mapping[str, str]) -> Callable[[Suite, Item], Sequence[Turn]]:
    """Return how files are written, the stub being read before."""
    writes = [call("write_file", path=path, content=text) for path, text in files.items()]
    turn = Turn([call("read_file", path="tram_fare.py"), *writes], RIGHT)
    return lambda suite, item: [turn]
