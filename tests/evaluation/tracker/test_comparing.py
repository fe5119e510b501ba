import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.evaluation.errors import EvaluationError
from punie.evaluation.intervals import paired
from punie.evaluation.results import Result
from punie.evaluation.suite import Check, Verdict
from punie.evaluation.tracker.comparing import Comparison, compare, holm
from tests.evaluation.tracker.made_runs import made_record, made_results, suites

SUITES = suites({"edits": 1})


def _compared(before: list[bool], after: list[bool], **other: object) -> Comparison:
    return compare(
        made_record(1),
        made_results("edits", before),
        made_record(2, **other),
        made_results("edits", after),
    )


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_items_are_paired(outcomes: list[tuple[bool, bool]]) -> None:
    before, after = ([pair[side] for pair in outcomes] for side in (0, 1))
    found = _compared(before, after)
    assert found.overall.paired == paired(before, after)
    assert found.overall.before.hits == sum(before)
    assert found.overall.after.hits == sum(after)
    assert len(found.overall.gained) == found.overall.paired.gained
    assert len(found.overall.lost) == found.overall.paired.lost
    (suite,) = found.suites
    assert suite.p == found.overall.p


def test_a_drop_that_chance_does_not_explain_is_flagged_and_the_items_are_named() -> None:
    found = _compared([True] * 30, [True] * 22 + [False] * 8)
    assert found.regressions == ("edits", "")
    assert found.overall.lost == tuple(f"edits item/{number:03}" for number in range(22, 30))
    assert found.overall.gained == ()
    assert [change.kind for change in found.kinds] == ["kind 0", "kind 1"]
    small = _compared([True] * 30, [True] * 27 + [False] * 3)
    assert small.regressions == ()
    better = _compared([False] * 30, [True] * 30)
    assert better.overall.is_better
    assert better.regressions == ()


def test_one_of_many_suites_needs_more_to_be_flagged() -> None:
    names = [f"suite {number}" for number in range(10)]
    before = [one for name in names for one in made_results(name, [True] * 20)]
    # Six of twenty lost: p is 0.03, which is no surprise among ten suites.
    after = made_results(names[0], [True] * 14 + [False] * 6)
    after += [one for name in names[1:] for one in made_results(name, [True] * 20)]
    records = [made_record(n, suites=suites(dict.fromkeys(names, 1))) for n in (1, 2)]
    found = compare(records[0], before, records[1], after)
    assert found.suites[0].paired.is_worse
    assert not found.suites[0].is_worse
    assert found.regressions == ("",)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_adjusts_upwards_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(value <= new <= 1 for value, new in zip(values, adjusted, strict=True))
    ranked = sorted(zip(values, adjusted, strict=True))
    assert [new for _, new in ranked] == sorted(new for _, new in ranked)
    if values:
        assert min(adjusted) == pytest.approx(min(1.0, min(values) * len(values)))


def test_holm_on_a_known_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_an_item_that_was_tried_several_times_is_one_case() -> None:
    def tries(*right: bool) -> list[Result]:
        return [
            made_results("edits", [each])[0].model_copy(update={"seed": seed})
            for seed, each in enumerate(right)
        ]

    for before, after, lost in (
        (tries(True, True, False), tries(True, False, False), 1),
        (tries(True, True, True), tries(True, True, False), 0),
        (tries(True, True), tries(True, False), 1),  # Half is not more than half.
    ):
        found = compare(made_record(1), before, made_record(2), after)
        assert found.overall.before.of == 1
        assert found.overall.paired.lost == lost


def test_other_versions_are_left_out_and_other_options_are_told() -> None:
    both = suites({"edits": 1, "safety": 2})
    results = made_results("edits", [True]) + made_results("safety", [True])
    found = compare(
        made_record(1, suites=both),
        results,
        made_record(
            2,
            suites=suites({"edits": 1, "safety": 3, "field-access": 1}),
            options={"temperature": 0.7, "seeds": [0], "parallel": 4},
            machine=made_record().machine.model_copy(update={"cores": 8}),
        ),
        results,
    )
    assert [change.suite for change in found.suites] == ["edits"]
    told = " ".join(found.warnings)
    assert "safety is left out: version 2 in the first run and 3 in the second." in told
    assert "Only one of the runs has field-access." in told
    assert "The options differ: temperature 0.0 and 0.7." in told
    assert "None and 4 sessions ran at once" in told
    assert "The machines differ" in told
    assert "weights" not in told
    same = _compared([True], [True], model=made_record(1).model)
    assert same.warnings == ("The weights are the same in both.",)
    with pytest.raises(EvaluationError, match=r"cannot be compared\. edits is left out"):
        _compared([True], [True], suites=suites({"edits": 2}))
    with pytest.raises(EvaluationError, match=r"They have no suite in common\."):
        _compared([True], [True], suites=suites({"other": 1}))
    with pytest.raises(EvaluationError, match="Both are the run"):
        compare(made_record(1), [], made_record(1), [])


def test_items_of_one_run_alone_count_for_neither() -> None:
    found = compare(
        made_record(1),
        made_results("edits", [True, True, False]),
        made_record(2),
        made_results("edits", [True, False], seconds=3.0),
    )
    assert found.overall.before.of == 2
    assert found.overall.lost == ("edits item/001",)
    assert found.warnings == ("1 item is left out: checked for 'solved' in only one of the runs.",)
    assert found.ratios["seconds of an item, median"].value == pytest.approx(3.0)


def test_troubles_are_told_and_other_checks_can_be_compared() -> None:
    verdict = Verdict(checks={"solved": Check.of(False), "tool": Check(strict=False, soft=True)})
    hung = made_results("edits", [False])[0].model_copy(
        update={"verdict": verdict, "trouble": "It ran out of time."}
    )
    before, after = made_results("edits", [True]), [hung]
    records = made_record(1), made_record(2)
    found = compare(records[0], before, records[1], after, check="tool")
    assert found.overall.paired.lost == 1
    assert f"1 try of {records[1].id} met trouble" in found.warnings[0]
    softly = compare(records[0], before, records[1], after, check="tool", soft=True)
    assert softly.overall.paired.lost == 0
    with pytest.raises(EvaluationError, match="checked for 'arguments' in both"):
        compare(records[0], before, records[1], after, check="arguments")
