"""What activations a training step keeps for its gradients: counted, not tried."""

from punie.models.architecture import Architecture


def activation_bytes(
    architecture: Architecture, rows: int, length: int, *, layers: int, recompute: bool = False
) -> int:
    """Return the bytes that `layers` layers keep of a batch, and the widest moment of one layer.

    Args:
        architecture: the model's.
        rows: sequences side by side.
        length: tokens of each.
        layers: how many have a gradient.
        recompute: whether only what lies between layers is kept, and the rest computed again.
    """
    tokens = rows * length
    kept = tokens * _kept_numbers(architecture) * architecture.item_bytes
    # Training computes the scores of all heads: MLX has no fused gradient of attention.
    scores = rows * architecture.heads * length * length * architecture.item_bytes
    between = tokens * architecture.hidden * architecture.item_bytes
    widest = kept + 3 * scores
    if recompute:
        return layers * between + kept + scores + widest
    return layers * (kept + scores) + widest


def _kept_numbers(architecture: Architecture) -> int:
    """Return how many numbers of a token one layer keeps for its gradient."""
    hidden = architecture.hidden
    queries = architecture.heads * architecture.head_dim
    keys = architecture.kv_heads * architecture.head_dim
    # Projected, normalised and rotated; the attention's output; keys and values for each head.
    attention = 4 * queries + 3 * keys + 2 * queries
    experts = architecture.experts
    if experts is None:
        feed_forward = 4 * architecture.width
    else:
        feed_forward = experts.active * (4 * experts.width + 2 * hidden) + 4 * experts.shared
        feed_forward += 3 * experts.count
    # The two inputs, normalised and not, and what is added to them.
    return 6 * hidden + attention + feed_forward
