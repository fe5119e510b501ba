"""What a student loses where it differs from its teacher.

The teacher is known by its likeliest tokens and by what all others have together: that fits on a
disk, and where all tokens are named it is the whole distribution. mlx-lm's `kl_div_loss` wants
whole distributions of both; a test holds the two together there.
"""

import mlx.core as mx

_SMALLEST_REST = 1e-6
"""Below this the difference of one and a sum of probabilities is rounding."""


def teacher_divergence(
    logits: mx.array,
    ids: mx.array,
    log_probabilities: mx.array,
    temperature: float,
    log_total: mx.array | None = None,
) -> mx.array:
    """Return T² times the Kullback-Leibler divergence of student from teacher, per position.

    Both distributions are softened by the temperature T; T² keeps the gradients as large as those
    of the cross-entropy (Hinton, Vinyals, Dean 2015, section 2). The tokens that the teacher does
    not name count as one.

    Args:
        logits: (N, V) the student's, in float32.
        ids: (N, K) tokens that the teacher names, each at most once in a row.
        log_probabilities: (N, K) theirs with the teacher, at this temperature.
        temperature: T, above zero.
        log_total: (N,) log of the sum of exp(logits / T), if it is at hand.
    """
    scaled = logits * (1 / temperature)
    if log_total is None:
        log_total = mx.logsumexp(scaled, axis=-1)
    named = mx.take_along_axis(scaled, ids, axis=-1) - log_total[:, None]
    wanted = mx.exp(log_probabilities)
    rest = mx.maximum(1 - wanted.sum(axis=-1), 0.0)
    own_rest = mx.maximum(1 - mx.exp(named).sum(axis=-1), _SMALLEST_REST)
    divergence = (wanted * (log_probabilities - named)).sum(axis=-1)
    divergence += rest * (mx.log(mx.maximum(rest, _SMALLEST_REST)) - mx.log(own_rest))
    return divergence * temperature**2


def likeliest(
    logits: mx.array, count: int, temperature: float, others: tuple[int, ...] = ()
) -> tuple[mx.array, mx.array]:
    """Return the `count` likeliest tokens of each row and their log probabilities.

    Args:
        logits: (N, V) the teacher's, for the tokens that the student knows too.
        count: K; all V tokens if it is not below V.
        temperature: what the distribution is softened by.
        others: tokens that the student does not have; they get no probability.

    Returns:
        (N, K) ids as int32 and (N, K) log probabilities as float32, in no order.
    """
    scaled = logits.astype(mx.float32) * (1 / temperature)
    if others:
        scaled[:, mx.array(others)] = -1e9
    scaled = scaled - mx.logsumexp(scaled, axis=-1, keepdims=True)
    width = scaled.shape[-1]
    if count >= width:
        ids = mx.broadcast_to(mx.arange(width, dtype=mx.int32)[None], scaled.shape)
        return ids, scaled
    ids = mx.argpartition(-scaled, kth=count - 1, axis=-1)[:, :count]
    return ids.astype(mx.int32), mx.take_along_axis(scaled, ids, axis=-1)
