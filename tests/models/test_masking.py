import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.models.mlx.guidance.masking import apply_mask


def expected(logits: mx.array, mask: np.ndarray) -> np.ndarray:
    values = np.array(logits.astype(mx.float32))
    result = np.full_like(values, -np.inf)
    for row in range(values.shape[0]):
        words = mask if mask.ndim == 1 else mask[row]
        for token in range(values.shape[1]):
            if token // 32 < len(words) and int(words[token // 32]) >> token % 32 & 1:
                result[row, token] = values[row, token]
    return result


@given(
    rows=st.integers(1, 3),
    size=st.integers(1, 150),
    words=st.integers(1, 6),
    shared=st.booleans(),
    dtype=st.sampled_from([mx.float32, mx.float16, mx.bfloat16]),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_the_definition(
    rows: int, size: int, words: int, shared: bool, dtype: mx.Dtype, seed: int
) -> None:
    random = np.random.default_rng(seed)
    logits = mx.array(random.normal(size=(rows, size)).astype(np.float32)).astype(dtype)
    mask = random.integers(0, 2**32, (rows, words), dtype=np.uint32)
    if shared:
        mask = mask[0]
    result = apply_mask(logits, mask)
    assert result.dtype == dtype
    assert np.array_equal(np.array(result.astype(mx.float32)), expected(logits, mask))


def test_the_words_may_change_after_the_call() -> None:
    mask = np.array([0b10], np.uint32)
    result = apply_mask(mx.zeros((1, 3)), mask)
    mask[:] = 0
    assert np.array(result).tolist() == [[-np.inf, 0.0, -np.inf]]


def test_infinite_logits_stay_what_they_are() -> None:
    logits = mx.array([[np.inf, np.inf, -np.inf]])
    assert np.array(apply_mask(logits, np.array([0b101], np.uint32))).tolist() == [
        [np.inf, -np.inf, -np.inf]
    ]


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError):
        apply_mask(mx.zeros((2, 8)), np.zeros((3, 1), np.uint32))
