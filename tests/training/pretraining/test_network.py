from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3
from mlx_lm.models.cache import make_prompt_cache

from punie.training.data import example as data
from punie.training.data.sequences import training_sequences
from punie.training.pretraining.batches import Example, encoded, make_batch
from punie.training.pretraining.network import (
    answer_loss,
    answer_scores,
    causal_mask,
    hidden_states,
    initial_parameters,
)
from punie.training.pretraining.optimizer import Rates, initial_state, orthogonal, updated
from punie.training.pretraining.tiny_architecture import TinyShape, config
from punie.training.pretraining.validation import validate
from tests.training.sample_conversations import SHAPE, conversations, model_folder

CPU = mx.Device(mx.cpu)


@pytest.fixture(autouse=True)
def on_cpu() -> None:
    mx.set_default_device(CPU)


def reference(shape: TinyShape) -> Any:
    arguments: Any = qwen3.ModelArgs
    return qwen3.Model(arguments.from_dict(config(shape)))


def test_logits_equal_those_of_mlx_lm() -> None:
    parameters = initial_parameters(SHAPE, seed=4)
    model = reference(SHAPE)
    model.load_weights(list(parameters.items()), strict=True)
    tokens = mx.random.randint(0, SHAPE.vocab_size, (3, 40), key=mx.random.key(1))
    states = hidden_states(parameters, tokens, causal_mask(3, 40, SHAPE), SHAPE)
    ours = states @ parameters["model.embed_tokens.weight"].T
    assert mx.allclose(ours, model(tokens), atol=2e-4).item()


def test_the_bundled_shape_fits_the_package() -> None:
    shape = TinyShape()
    weights: Any = tree_flatten(reference(shape).parameters())
    counted = sum(weight.size for _, weight in weights)
    assert shape.parameter_count == counted
    assert counted * 4 < 12_000_000


def test_gradients_equal_those_of_a_plain_network() -> None:
    parameters = initial_parameters(SHAPE, seed=5)
    tokens = mx.random.randint(0, SHAPE.vocab_size, (2, 32), key=mx.random.key(2))
    positions = mx.array([3, 9, 40, 0])
    targets = mx.array([1, 2, 3, 0])
    weights = mx.array([0.5, 0.25, 0.25, 0.0])
    mask = causal_mask(2, 32, SHAPE)

    def ours(values: dict[str, mx.array]) -> mx.array:
        return answer_loss(values, tokens, mask, positions, targets, weights, SHAPE)[0]

    model = reference(SHAPE)

    def plain(values: dict[str, mx.array]) -> mx.array:
        model.load_weights(list(values.items()))
        logits = model(tokens).reshape(-1, SHAPE.vocab_size)[positions]
        missed = mx.logsumexp(logits, axis=-1) - logits[mx.arange(4), targets]
        return cast(mx.array, (missed * weights).sum())

    loss, gradient = mx.value_and_grad(ours)(parameters)
    wanted, expected = mx.value_and_grad(plain)(parameters)
    assert abs(float(loss.item()) - float(wanted.item())) < 1e-4  # type: ignore[arg-type]
    for name in parameters:
        scale = float(mx.abs(expected[name]).max().item())  # type: ignore[arg-type]
        assert mx.allclose(gradient[name], expected[name], atol=2e-3 * scale + 1e-7).item(), name


def test_muon_makes_singular_values_about_one() -> None:
    for size in ((4, 16, 48), (3, 48, 16)):
        values = np.linalg.svd(np.array(orthogonal(mx.random.normal(size))), compute_uv=False)
        assert values.min() > 0.4
        assert values.max() < 1.4


def test_two_gradients_count_as_their_sum() -> None:
    parameters = initial_parameters(SHAPE, seed=6)
    gradient = {name: mx.ones_like(weight) * 0.01 for name, weight in parameters.items()}
    half = {name: value / 2 for name, value in gradient.items()}
    state = initial_state(parameters)
    one, _ = updated(parameters, [gradient], state, mx.array(1.0), mx.array(1.0), Rates())
    two, _ = updated(parameters, [half, half], state, mx.array(1.0), mx.array(1.0), Rates())
    for name in parameters:
        assert mx.allclose(one[name], two[name], atol=1e-6).item(), name
        assert not mx.array_equal(one[name], parameters[name]).item(), name


def test_validation_counts_turns_as_greedy_decoding_would(tmp_path: Path) -> None:
    """The share of exact turns equals what writing token by token finds."""
    chat_format = model_folder(tmp_path)
    examples = [
        encoded(sequence)
        for messages in conversations(6, seed=3)
        for sequence in training_sequences(
            chat_format, data.Example.model_validate({"messages": messages}), data.PromptPrefix()
        )
    ]
    parameters = initial_parameters(SHAPE, seed=1)
    state = initial_state(parameters)
    batch = make_batch(examples)
    mask = causal_mask(*batch.tokens.shape, SHAPE)
    tokens, positions, targets = map(mx.array, (batch.tokens, batch.positions, batch.targets))
    weights = mx.array(batch.weights / batch.weights.sum())
    for step in range(1, 81):
        gradient = mx.grad(
            lambda values: answer_loss(values, tokens, mask, positions, targets, weights, SHAPE)[0]
        )(parameters)
        parameters, state = updated(
            parameters, [gradient], state, mx.array(1.0), mx.array(float(step)), Rates()
        )
        mx.eval(parameters, state)
    model = reference(SHAPE)
    model.load_weights(list(parameters.items()))
    exact, first = [], []
    for example in examples:
        outcomes = [greedy_is_exact(model, example, *turn) for turn in turns(example)]
        exact += outcomes
        first.append(outcomes[0])
    result = validate(parameters, examples, SHAPE, rows=4)
    assert 0 < sum(exact) < len(exact)
    assert result.turns == pytest.approx(sum(exact) / len(exact))
    assert result.first_turns == pytest.approx(sum(first) / len(first))
    missed, right = answer_scores(parameters, tokens, mask, positions, targets, SHAPE)
    count = int(batch.weights.sum())
    assert result.loss == pytest.approx(float(np.array(missed)[:count].mean()), rel=1e-3)
    assert result.token_accuracy == pytest.approx(float(np.array(right)[:count].mean()))


def turns(example: Example) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(example.learned.astype(int), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def greedy_is_exact(model: Any, example: Example, start: int, end: int) -> bool:
    cache = make_prompt_cache(model)
    unread = example.ids[:start].tolist()
    for expected in example.ids[start:end].tolist():
        logits: mx.array = model(mx.array([unread]), cache=cache)[0, -1]
        if mx.argmax(logits).item() != expected:
            return False
        unread = [expected]
    return True
