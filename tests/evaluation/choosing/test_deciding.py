"""Which models go on behind the short stage, and which is recommended, on runs made for it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from punie.evaluation.choosing.candidates import Candidate, LeftOut, Look
from punie.evaluation.choosing.deciding import (
    Standing,
    against,
    left_out_of_full,
    recommend,
)
from punie.evaluation.choosing.stage_runs import StageRun
from punie.evaluation.run_record import ended_run
from punie.models.catalog import ModelChoice
from tests.evaluation.tracker.made_runs import made_record, made_results

_GB = 10**9


def run(number: int, right: Sequence[bool], seconds: float = 1.0) -> StageRun:
    results = made_results("edits", right, seconds=seconds)
    record = ended_run(made_record(number), results, 20.0, None)
    return StageRun(Path("none"), record, tuple(results))


def standing(
    name: str,
    number: int,
    *,
    short: StageRun | None = None,
    full: Sequence[bool] | None = None,
    size: int | None = _GB,
    left_out: LeftOut | None = None,
) -> Standing:
    choice = ModelChoice(name, name, "", "hub", Path(name))
    return Standing(
        Candidate(choice, name, name),
        Look(size=size),
        short,
        None if full is None else run(number, full),
        left_out,
    )


def solving(hits: int, of: int) -> list[bool]:
    return [at < hits for at in range(of)]


def test_hopeless_is_what_the_best_leaves_no_chance() -> None:
    found = left_out_of_full(
        [
            standing("best", 1, short=run(1, solving(40, 60))),  # 54.1 to 77.3 %
            standing("near", 2, short=run(2, solving(25, 60))),  # at most 54.3 %
            standing("far", 3, short=run(3, solving(24, 60))),  # at most 52.6 %
        ],
        None,
    )
    assert set(found) == {"far"}
    assert found["far"].kind == "hopeless"
    assert found["far"].sentence == (
        "It solved 24 of 60 short items, at most 52.6%, and best at least 54.1%."
    )


def test_what_surely_does_less_than_one_in_ten_is_hopeless_even_as_the_best() -> None:
    one, two = run(1, solving(1, 60)), run(2, solving(2, 60))
    assert set(left_out_of_full([standing("one", 1, short=one)], None)) == {"one"}  # at most 8.9 %
    assert not left_out_of_full([standing("two", 2, short=two)], None)  # at most 11.4 %
    assert not left_out_of_full([standing("few", 3, short=run(3, solving(0, 6)))], None)


def test_a_slow_model_is_left_out_and_nobodys_measure() -> None:
    slow = standing("slow", 1, short=run(1, solving(60, 60), seconds=9.0))
    quick = standing("quick", 2, short=run(2, solving(20, 60)))
    found = left_out_of_full([slow, quick], 10.0)
    assert {name: one.kind for name, one in found.items()} == {"slow": "slow"}
    assert found["slow"].sentence.startswith("Half of its items took 18 seconds or more, and 10 ")
    assert {name: one.kind for name, one in left_out_of_full([slow, quick], None).items()} == {
        "quick": "hopeless"
    }


def test_what_was_left_out_before_is_not_judged_again() -> None:
    gone = standing("gone", 1, left_out=LeftOut("gate 0", "tools: none"))
    assert not left_out_of_full([gone, standing("one", 2, short=run(2, solving(9, 10)))], None)


def test_the_smaller_is_recommended_of_those_that_are_as_good() -> None:
    large = standing("large", 1, full=solving(402, 560), size=17 * _GB)
    small = standing("small", 2, full=solving(400, 560), size=4 * _GB)
    worse = standing("worse", 3, full=solving(300, 560), size=_GB)
    found = recommend([large, small, worse])
    assert found.candidate is small.candidate
    assert "not to be told apart" in found.reason
    assert "the smaller one, 4.0 GB and 17.0 GB." in found.reason
    assert "Worse than large: worse (-18.2 points" in found.reason
    assert [one.is_worse for one in found.against] == [False, True]


def test_few_items_do_not_make_a_smaller_model_as_good() -> None:
    large = standing("large", 1, full=solving(7, 8), size=17 * _GB)
    small = standing("small", 2, full=solving(4, 8), size=_GB)
    found = recommend([small, large])
    assert found.candidate is large.candidate
    assert "Whether worse than it so few items do not tell (--limit gives more): small (-37.5" in (
        found.reason
    )


def test_a_better_model_is_recommended_whatever_its_size() -> None:
    large = standing("large", 1, full=solving(90, 100), size=17 * _GB)
    small = standing("small", 2, full=solving(60, 100), size=_GB)
    served = standing("served", 3, full=solving(90, 100), size=None)
    found = recommend([small, large, served])
    assert found.candidate is large.candidate
    assert found.reason.startswith(
        "It solved 90.0% (82.6% to 94.5%, 90 of 100), and no other more."
    )
    assert "As good as it, and no smaller: served (+0.0 points" in found.reason


def test_one_that_came_through_alone_and_none() -> None:
    alone = standing("alone", 1, full=solving(3, 4))
    failed = standing("failed", 2, left_out=LeftOut("failed", "It failed."))
    assert recommend([failed, alone]).candidate is alone.candidate
    assert "alone" in recommend([failed, alone]).reason
    assert recommend([failed]).candidate is None


def test_several_comparisons_are_adjusted_for_their_number() -> None:
    first = standing("first", 1, full=solving(6, 20))
    twice = [standing(name, at, full=solving(12, 20)) for at, name in ((2, "a"), (3, "b"))]
    (alone,) = against(first, [first, twice[0]])
    both = against(first, [first, *twice])
    assert alone.paired.p == pytest.approx(1 / 32)
    assert [one.p for one in both] == pytest.approx([1 / 16, 1 / 16])
    assert not against(standing("none", 4), twice)
