"""The divergence is the textbook's, and so are its gradients, on whatever MLX computes with."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from punie.training.distilling.losses import likeliest, teacher_divergence

Array = NDArray[np.float64]


def distribution(logits: Array, temperature: float) -> Array:
    shifted = np.exp(logits / temperature - (logits / temperature).max(-1, keepdims=True))
    result: Array = shifted / shifted.sum(-1, keepdims=True)
    return result


def both(seed: int, rows: int = 3, width: int = 11) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, width)) * 4, random.normal(size=(rows, width)) * 4


@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 2.0, 7.0]))
@settings(max_examples=25, deadline=None)
def test_with_all_tokens_named_it_is_the_whole_divergence(seed: int, temperature: float) -> None:
    student, teacher = both(seed)
    q, p = distribution(student, temperature), distribution(teacher, temperature)
    wanted = (p * np.log(p / q)).sum(-1) * temperature**2

    def loss(logits: mx.array) -> mx.array:
        return teacher_divergence(logits, ids, values, temperature).sum()

    ids, values = likeliest(mx.array(teacher.astype(np.float32)), 11, temperature)
    logits = mx.array(student.astype(np.float32))
    assert float(loss(logits)) == pytest.approx(wanted.sum(), rel=2e-4, abs=1e-5)
    # T² (q - p) / T, the closed form of the gradient.
    np.testing.assert_allclose(
        np.array(mx.grad(loss)(logits)), (q - p) * temperature, rtol=1e-3, atol=2e-5
    )


@given(st.integers(0, 10**6), st.integers(1, 10))
@settings(max_examples=25, deadline=None)
def test_tokens_that_are_not_named_count_as_one(seed: int, named: int) -> None:
    student, teacher = both(seed)
    ids, values = likeliest(mx.array(teacher.astype(np.float32)), named, 1.0)
    q, p = distribution(student, 1.0), distribution(teacher, 1.0)
    chosen = np.array(ids)
    assert all(
        set(row) == set(np.argsort(-line)[:named]) for row, line in zip(chosen, p, strict=True)
    )
    kept_p = np.take_along_axis(p, chosen, -1)
    kept_q = np.take_along_axis(q, chosen, -1)
    rest_p, rest_q = 1 - kept_p.sum(-1), 1 - kept_q.sum(-1)
    coarse = (kept_p * np.log(kept_p / kept_q)).sum(-1) + rest_p * np.log(rest_p / rest_q)
    found = teacher_divergence(mx.array(student.astype(np.float32)), ids, values, 1.0)
    np.testing.assert_allclose(np.array(found), coarse, rtol=1e-3, atol=1e-4)
    # Seen less finely, two distributions never look more different.
    whole = (p * np.log(p / q)).sum(-1)
    assert (np.array(found) <= whole + 1e-4).all()


def test_it_agrees_with_mlx_lm() -> None:
    from mlx_lm.tuner.losses import kl_div_loss

    student, teacher = (mx.array(each.astype(np.float32)) for each in both(5))
    ids, values = likeliest(teacher, 11, 1.0)
    ours = mx.value_and_grad(lambda x: teacher_divergence(x, ids, values, 1.0).sum())(student)
    given: Any = kl_div_loss
    theirs = mx.value_and_grad(lambda x: given(x, teacher).sum())(student)
    np.testing.assert_allclose(np.array(ours[0]), np.array(theirs[0]), rtol=1e-4)
    np.testing.assert_allclose(np.array(ours[1]), np.array(theirs[1]), atol=1e-5)


def test_a_student_that_is_its_teacher_loses_nothing_and_moves_nowhere() -> None:
    logits = mx.array(both(3)[1].astype(np.float32) * 10)
    ids, values = likeliest(logits, 4, 2.0)
    loss, gradient = mx.value_and_grad(lambda x: teacher_divergence(x, ids, values, 2.0).sum())(
        logits
    )
    assert abs(float(loss)) < 1e-4
    assert float(mx.abs(gradient).max()) < 1e-3


def test_extreme_logits_stay_finite() -> None:
    student = mx.array([[300.0, -300.0, 0.0, 0.0]])
    ids, values = likeliest(mx.array([[-300.0, 300.0, 0.0, 0.0]]), 2, 1.0)
    loss, gradient = mx.value_and_grad(lambda x: teacher_divergence(x, ids, values, 1.0).sum())(
        student
    )
    assert np.isfinite(float(loss))
    assert np.isfinite(np.array(gradient)).all()


def test_what_the_student_does_not_have_gets_no_probability() -> None:
    ids, values = likeliest(mx.array([[9.0, 1.0, 2.0]]), 3, 1.0, others=(0,))
    kept = dict(zip(np.array(ids)[0].tolist(), np.exp(np.array(values))[0].tolist(), strict=True))
    assert kept[0] == 0
    assert kept[1] + kept[2] == pytest.approx(1.0)
    loss = teacher_divergence(mx.array([[0.0, 1.0, 2.0]]), ids, values, 1.0)
    assert np.isfinite(float(loss[0]))
    assert float(loss[0]) > 0
