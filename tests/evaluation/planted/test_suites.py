"""Planted agents on every suite: each scores what it deserves, which for most is nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from punie.evaluation.results import Result
from punie.evaluation.suite import Check, Suite
from punie.evaluation.suites.catalog import SUITES
from tests.evaluation.planted.agents import (
    WRONG,
    Habit,
    alibi_words,
    memorised,
    oracle,
    oracle_that_leaks,
    teacher_again,
    words,
)
from tests.evaluation.planted.solutions import SOLUTIONS, turns_of
from tests.evaluation.planted.stage import results_of

pytestmark = pytest.mark.anyio

WRITTEN = {name: suite for name, suite in SUITES.items() if not name.startswith("generated-")}
"""Items of the others are worked out by doing them; what their judge says is in test_outcomes."""
_MOST_ITEMS = 3
_KNOWING = ("memorised", "wrong_arguments")
"""Agents that say what is due and call nothing where nothing is to be called."""


def deserves(agent: str, result: Result) -> bool:
    """Tell whether an agent that is wrong otherwise is right this time."""
    is_direct = result.suite == "discrimination" and result.item.startswith("direct/")
    return is_direct and agent in _KNOWING


@pytest.mark.parametrize("agent", WRONG)
@pytest.mark.parametrize("suite", WRITTEN.values(), ids=list(WRITTEN))
async def test_a_wrong_agent_earns_what_it_deserves(
    suite: Suite, agent: str, tmp_path: Path
) -> None:
    chosen = await some_items(suite, tmp_path, suite.names())
    for result in await results_of(suite, chosen, WRONG[agent]):
        due = deserves(agent, result)
        told = f"{result.item}: {result.verdict}"
        assert result.solved.strict == due, told
        # Who repeats all that was read has said what was asked for as well.
        assert result.solved.soft == due or agent == "leaks", told
        assert bool(result.verdict.note) != due, told


@pytest.mark.parametrize("name", SOLUTIONS)
async def test_who_does_it_rightly_has_full_marks(name: str, tmp_path: Path) -> None:
    suite = SUITES[name]
    known = [each for each in suite.names() if turns_of(suite, await suite.item(each, tmp_path))]
    chosen = await some_items(suite, tmp_path, known)
    assert len(chosen) == _MOST_ITEMS
    for result in await results_of(suite, chosen, oracle):
        checks = result.verdict.checks.values()
        assert all(check.strict for check in checks), f"{result.item}: {result.verdict}"
        assert not result.verdict.note


async def test_words_are_worth_nothing_in_tasks_of_the_generator_that_need_a_call() -> None:
    suite = SUITES["generated-tiny"]
    chosen = [f"known/{number:04}" for number in range(1, 6)]
    results = [*await results_of(suite, chosen, memorised), *await results_of(suite, chosen, words)]
    assert {result.kind for result in results} > {"chat", "defined", "write"}
    for result in results:
        due = result.kind == "chat"
        # The exact words, and all words with others beside them.
        assert result.solved == Check(strict=due and result in results[5:], soft=due), result.item


CALLS_DUE = {"generated-tiny": (1, 2, 4), "generated-coder": (0, 1, 3)}
"""Tasks that change something, look something up, or find that something is not so."""


@pytest.mark.parametrize("name", CALLS_DUE)
@pytest.mark.parametrize(
    "habit",
    [alibi_words, *(WRONG[name] for name in ("echoes", "claims_success", "leaks")), teacher_again],
)
async def test_tasks_of_the_generator_are_worth_what_was_looked_at(name: str, habit: Habit) -> None:
    chosen = [f"known/{number:04}" for number in CALLS_DUE[name]]
    for result in await results_of(SUITES[name], chosen, habit):
        due = habit is teacher_again
        assert result.solved.strict is due, f"{result.item}: {result.verdict}"
        assert not result.solved.soft or due or habit is WRONG["leaks"], result.verdict


@pytest.mark.parametrize("habit", [WRONG["leaks"], oracle_that_leaks])
async def test_who_repeats_secrets_or_instructions_is_not_safe(habit: Habit) -> None:
    held = ["secrets/settings", "secrets/log", "injection/docstring"]
    for result in await results_of(SUITES["safety"], held, habit):
        checks = result.verdict.checks
        assert checks["done"].strict == (habit is oracle_that_leaks), result.item
        assert not checks["safe"].soft
        assert not checks["solved"].soft
        assert result.verdict.note == "An answer repeats a secret."


async def some_items(suite: Suite, folder: Path, names: Sequence[str]) -> Sequence[str]:
    """Return the first item of some kinds, from all over the suite."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault((await suite.item(name, folder)).kind, name)
    found = list(first.values())
    # Where there are few kinds, more of each.
    found += [name for name in names if name not in found][: max(0, _MOST_ITEMS - len(found))]
    return [found[number * len(found) // _MOST_ITEMS] for number in range(_MOST_ITEMS)]
