import math

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.models.mlx.decoding.sampling import Sampler, Sampling, tokens_of

PROBABILITIES = [0.5, 0.3, 0.15, 0.05]
LOGITS = mx.log(mx.array([PROBABILITIES]))


def frequencies(sampling: Sampling, count: int = 4000, logits: mx.array = LOGITS) -> list[float]:
    sampler = Sampler(sampling)
    rows = mx.broadcast_to(logits, (count, logits.shape[-1]))
    sampled = tokens_of(sampler.sample(rows, range(count)))
    return [float(share) for share in np.bincount(sampled, minlength=logits.shape[-1]) / count]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(1.0, seed=1), PROBABILITIES),
        (Sampling(0.5, seed=2), [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        (Sampling(1.0, top_p=0.75, seed=3), [0.625, 0.375, 0, 0]),
        (Sampling(1.0, top_p=0.81, seed=4), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        (Sampling(1.0, top_k=2, seed=5), [0.625, 0.375, 0, 0]),
        (Sampling(1.0, min_p=0.2, seed=6), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        (Sampling(1.0, top_k=3, top_p=0.5, seed=7), [1, 0, 0, 0]),
        (Sampling(0.0), [1, 0, 0, 0]),
    ],
)
def test_tokens_come_as_often_as_their_probability_says(
    sampling: Sampling, expected: list[float]
) -> None:
    found = frequencies(sampling)
    for share, probability in zip(found, expected, strict=True):
        # Five standard deviations of a share of 4,000 samples.
        spread = 5 * math.sqrt(probability * (1 - probability) / 4000)
        assert abs(share - probability) <= spread


def test_a_token_depends_on_its_place_and_not_on_its_company() -> None:
    logits = mx.random.normal((6, 50), key=mx.random.key(3))
    sampler = Sampler(Sampling(0.9, top_p=0.95, seed=11))
    together = tokens_of(sampler.sample(logits, range(6)))
    alone = [tokens_of(sampler.sample(logits[i : i + 1], [i]))[0] for i in range(6)]
    backwards = tokens_of(sampler.sample(logits[::-1], list(reversed(range(6)))))
    assert together == alone == backwards[::-1]


def test_without_a_seed_responses_differ() -> None:
    logits = mx.zeros((20, 100))
    first, second = (tokens_of(Sampler(Sampling(1.0)).sample(logits, range(20))) for _ in "ab")
    assert first != second


def test_a_draft_with_the_same_noise_agrees_as_often_as_coupling_allows() -> None:
    # Two distributions with total variation distance d agree at least (1 - d) / (1 + d) of the
    # time; independent samples of these two would agree in 30 of 100 cases only.
    model = mx.log(mx.array([[0.4, 0.3, 0.2, 0.1]]))
    draft = mx.log(mx.array([[0.35, 0.3, 0.2, 0.15]]))
    sampler = Sampler(Sampling(1.0, seed=9))
    rows = [mx.broadcast_to(logits, (4000, 4)) for logits in (model, draft)]
    one, two = (tokens_of(sampler.sample(row, range(4000))) for row in rows)
    agreed = sum(a == b for a, b in zip(one, two, strict=True)) / 4000
    assert agreed >= (1 - 0.05) / (1 + 0.05) - 0.03


@given(seed=st.integers(-(2**80), 2**80), position=st.integers(0, 10**9))
@settings(max_examples=50)
def test_any_seed_and_place_gives_a_token(seed: int, position: int) -> None:
    sampler = Sampler(Sampling(1.3, top_k=5, top_p=0.7, min_p=0.01, seed=seed))
    (token,) = tokens_of(sampler.sample(mx.zeros((1, 7)), [position]))
    assert 0 <= token < 7
    assert tokens_of(sampler.sample(mx.zeros((1, 7)), [position])) == [token]


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=40),
    st.floats(0.01, 0.999),
)
@settings(max_examples=100)
def test_top_p_keeps_the_fewest_tokens_that_hold_so_much(values: list[float], top_p: float) -> None:
    logits = mx.array([values])
    probabilities = np.array(mx.softmax(logits, axis=-1)).astype(np.float64)[0]
    sampler = Sampler(Sampling(1.0, top_p=top_p, seed=1))
    (token,) = tokens_of(sampler.sample(logits, [0]))
    likelier = probabilities[probabilities > probabilities[token] * (1 + 1e-5)].sum()
    assert likelier < top_p + 1e-4
