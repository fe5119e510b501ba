import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from punie.models.mlx.decoding.speculation import LONGEST_DRAFT, Draft, DraftControl, PromptLookup


def lookup(tokens: list[int]) -> PromptLookup:
    drafter = PromptLookup()
    drafter.extend(tokens)
    return drafter


def test_what_followed_the_same_tokens_is_proposed() -> None:
    drafter = lookup([1, 2, 3, 4, 5, 6, 9, 9, 2, 3, 4])
    assert drafter.propose(2) == Draft((5, 6), evidence=3)
    assert drafter.propose(100) == Draft((5, 6, 9, 9, 2, 3, 4), evidence=3)


def test_the_longest_history_wins_and_the_latest_of_equals() -> None:
    assert lookup([7, 1, 2, 50, 8, 1, 2, 60, 7, 1, 2]).propose(1).tokens == (50,)
    assert lookup([8, 1, 2, 50, 8, 1, 2, 60, 9, 1, 2]).propose(1).tokens == (60,)


def test_nothing_is_proposed_without_a_match_of_two() -> None:
    for tokens in ([], [1], [1, 2], [1, 2, 3], [2, 5, 3, 5]):
        assert lookup(tokens).propose(4) == Draft((), 0)


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 5))
def test_a_draft_is_a_true_continuation_of_an_equal_history(tokens: list[int], limit: int) -> None:
    drafter = PromptLookup()
    for token in tokens:
        drafter.extend([token])
    draft = drafter.propose(limit)
    assert drafter.evidence() == lookup(tokens).evidence()
    assert len(draft.tokens) <= limit
    if not draft.tokens:
        return
    history = tokens[len(tokens) - draft.evidence :]
    pattern = [*history, *draft.tokens]
    starts = range(len(tokens) - draft.evidence)
    assert any(tokens[at : at + len(pattern)] == pattern for at in starts)
    # And no place has a longer one.
    longer = tokens[len(tokens) - draft.evidence - 1 :]
    if draft.evidence < min(32, len(tokens) - 1):
        assert not any(tokens[at : at + len(longer)] == longer for at in starts[:-1])


def trained_control() -> DraftControl:
    control = DraftControl()
    for _ in range(4):
        assert control.limit(4) == 0  # there is nothing to compare with yet
        control.record_plain(1.0)
    return control


def test_drafts_grow_with_success_and_end_with_failure() -> None:
    control = trained_control()
    for _ in range(30):
        control.record(Draft((1,) * 8, 8), accepted=8, seconds=1)
    assert control.limit(8) == LONGEST_DRAFT
    for _ in range(30):
        control.record(Draft((1,) * 8, 8), accepted=0, seconds=1)
    assert control.limit(8) == 0
    assert control.limit(32) > 0  # other evidence, other experience


def test_a_rested_level_is_tried_again() -> None:
    control = trained_control()
    for _ in range(30):
        control.record(Draft((1, 1), 2), accepted=0, seconds=1)
    assert control.limit(2) == 0
    for _ in range(64):
        control.pass_over(2)
    assert control.limit(2) == 1
    control.record(Draft((1,), 2), accepted=0, seconds=1)
    assert control.limit(2) == 0


def test_where_wide_passes_cost_much_drafts_stay_short() -> None:
    cheap, dear = DraftControl(), DraftControl()
    for _ in range(60):
        for control, seconds in ((cheap, 1.1), (dear, 6.0)):
            control.record_plain(1.0)
            control.record(Draft((1,) * 8, 4), accepted=6, seconds=seconds)
    assert dear.slope > 5 * cheap.slope
    assert dear.limit(4) < cheap.limit(4)


def simulated_seconds(acceptance: float, slope: float, steps: int = 3000) -> float:
    """Return the time per token of a writer whose drafts are right with a given chance."""
    rng = random.Random(5)
    control = DraftControl()
    seconds = tokens = 0.0
    for _ in range(steps):
        limit = control.limit(4)
        if limit == 0:
            control.pass_over(4)
            control.record_plain(1.0)
            seconds, tokens = seconds + 1.0, tokens + 1
            continue
        right = 0
        while right < limit and rng.random() < acceptance:
            right += 1
        taken = 1.0 + slope * limit
        control.record(replace(Draft((), 4), tokens=(0,) * limit), right, taken)
        seconds, tokens = seconds + taken, tokens + 1 + right
    return seconds / tokens


def test_drafts_pay_or_rest() -> None:
    assert simulated_seconds(0.9, slope=0.05) < 0.35
    for acceptance in (0.0, 0.1, 0.5, 0.9):
        for slope in (0.0, 0.2, 1.0, 3.0):
            assert simulated_seconds(acceptance, slope) < 1.05
