"""Muon for the matrices of the blocks, AdamW for embeddings and norms, in one pure function.

Muon makes the momentum of a matrix orthogonal before it is applied. Matrices of equal shape are
stacked, so one batched product serves them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from punie.training.pretraining.network import Parameters

State = dict[str, mx.array]

_MUON_MOMENTUM = 0.95
_ADAM_FIRST, _ADAM_SECOND, _ADAM_EPSILON = 0.9, 0.98, 1e-8
# The Newton-Schulz quintic with the coefficients published with Muon.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_LARGEST_NORM = 1.0


@dataclass(frozen=True)
class Rates:
    """Peak learning rates and decays.

    Attributes:
        muon: learning rate of the block matrices.
        adam: learning rate of embeddings and norms.
        decay: decoupled weight decay of everything but the norms.
    """

    muon: float = 1e-2
    adam: float = 2e-3
    decay: float = 0.01


def is_block_matrix(name: str) -> bool:
    """Whether Muon updates this weight."""
    return name.endswith("_proj.weight")


def initial_state(parameters: Parameters) -> State:
    """Zero moments for every weight."""
    state: State = {}
    for name, weight in parameters.items():
        if is_block_matrix(name):
            state[f"momentum.{name}"] = mx.zeros_like(weight)
        else:
            state[f"first.{name}"] = mx.zeros_like(weight)
            state[f"second.{name}"] = mx.zeros_like(weight)
    return state


def orthogonal(stack: mx.array) -> mx.array:
    """Push all singular values of a (count, rows, columns) stack of matrices to about one."""
    turned = stack.shape[-2] > stack.shape[-1]
    x = stack.swapaxes(-1, -2) if turned else stack
    x = x / (mx.sqrt((x * x).sum(axis=(-2, -1), keepdims=True)) + 1e-7)
    first, third, fifth = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = x @ x.swapaxes(-1, -2)
        x = first * x + (third * gram + fifth * (gram @ gram)) @ x
    return x.swapaxes(-1, -2) if turned else x


def updated(
    parameters: Parameters,
    gradients: Sequence[Parameters],
    state: State,
    scale: mx.array,
    step: mx.array,
    rates: Rates,
) -> tuple[Parameters, State]:
    """Weights and moments after one step.

    Args:
        parameters: the weights to update (any subset of the network's).
        gradients: one or more gradients of the same names; their sum counts.
        state: moments from `initial_state` or the last call.
        scale: what the learning rates are multiplied with, 0 to 1.
        step: number of this step, from 1, for AdamW's bias correction.
        rates: peak learning rates.
    """
    new: Parameters = {}
    moments: State = {}
    groups: dict[tuple[int, int], list[str]] = {}
    summed = {
        name: sum((each[name] for each in gradients[1:]), gradients[0][name]) for name in parameters
    }
    # Muon's step does not depend on the size of a gradient, so only the others are clipped.
    squares = [(summed[name] ** 2).sum() for name in parameters if not is_block_matrix(name)]
    clip = mx.minimum(1.0, _LARGEST_NORM * mx.rsqrt(sum(squares, mx.array(1e-12))))
    for name, weight in parameters.items():
        gradient = summed[name]
        if is_block_matrix(name):
            momentum = _MUON_MOMENTUM * state[f"momentum.{name}"] + gradient
            moments[f"momentum.{name}"] = momentum
            new[name] = gradient + _MUON_MOMENTUM * momentum
            rows, columns = sorted(weight.shape)
            groups.setdefault((rows, columns), []).append(name)
        else:
            _adam(
                name, weight, gradient * clip, state, moments, new, scale * rates.adam, step, rates
            )
    for names in groups.values():
        wide = [new[name].T if _tall(new[name]) else new[name] for name in names]
        for name, direction in zip(names, orthogonal(mx.stack(wide)), strict=True):
            weight = parameters[name]
            rows, columns = weight.shape
            rate = scale * (rates.muon * max(1.0, rows / columns) ** 0.5)
            turned = direction.T if _tall(weight) else direction
            new[name] = weight * (1 - scale * (rates.muon * rates.decay)) - rate * turned
    return new, moments


def _tall(matrix: mx.array) -> bool:
    return bool(matrix.shape[0] > matrix.shape[1])


def _adam(
    name: str,
    weight: mx.array,
    gradient: mx.array,
    state: State,
    moments: State,
    new: Parameters,
    rate: mx.array,
    step: mx.array,
    rates: Rates,
) -> None:
    first = _ADAM_FIRST * state[f"first.{name}"] + (1 - _ADAM_FIRST) * gradient
    second = _ADAM_SECOND * state[f"second.{name}"] + (1 - _ADAM_SECOND) * gradient * gradient
    moments[f"first.{name}"], moments[f"second.{name}"] = first, second
    unbiased = mx.sqrt(second / (1 - mx.power(_ADAM_SECOND, step))) + _ADAM_EPSILON
    moved = weight - rate * (first / (1 - mx.power(_ADAM_FIRST, step))) / unbiased
    new[name] = moved if "norm" in name else moved - rate * rates.decay * weight
