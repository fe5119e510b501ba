import math
from typing import Any

import mlx.core as mx
import pytest
from mlx.nn.layers.linear import Linear

from punie.training.errors import TrainingError
from punie.training.tuning.optimizer import make_optimizer, restore_state, schedule, state_arrays
from punie.training.tuning.options import Optimizer, Schedule, TuneOptions

_PEAK = 0.5


def _rates(kind: Schedule, warm_up: int = 4, steps: int = 20) -> list[float]:
    options = TuneOptions(schedule=kind, learning_rate=_PEAK, warm_up=warm_up, steps=steps, end=0.2)
    rate = schedule(options)
    return [float(str(rate(mx.array(step)).item())) for step in range(steps + 1)]


def test_the_rate_rises_to_its_peak_and_falls_to_its_end() -> None:
    constant, linear, cosine = _rates("constant"), _rates("linear"), _rates("cosine")
    for rates in (constant, linear, cosine):
        assert rates[:5] == pytest.approx([0.125, 0.21875, 0.3125, 0.40625, 0.5])
    assert constant[5:] == pytest.approx([0.5] * 16)
    assert linear[4:] == pytest.approx([0.5 - 0.4 * done / 16 for done in range(17)])
    turns = [math.cos(math.pi * done / 16) for done in range(17)]
    assert cosine[4:] == pytest.approx([0.1 + 0.2 * (1 + turn) for turn in turns])
    assert _rates("linear", warm_up=0)[0] == pytest.approx(_PEAK)


@pytest.mark.parametrize("name", ["adam", "adamw", "muon", "sgd", "adafactor"])
def test_every_optimiser_follows_the_rate_and_its_state_can_be_put_back(name: Optimizer) -> None:
    options = TuneOptions(optimizer=name, learning_rate=1e-2, warm_up=2, steps=6, weight_decay=0.1)
    gradient = {"weight": mx.full((4, 8), 0.5), "bias": mx.full((4,), -0.5)}

    def ran(layer: Any, steps: int, state: dict[str, mx.array] | None) -> dict[str, mx.array]:
        optimizer = make_optimizer(options)
        optimizer.init(layer.trainable_parameters())
        if state is not None:
            restore_state(optimizer, state)
        for _ in range(steps):
            optimizer.update(layer, gradient)
        mx.eval(layer.parameters(), optimizer.state)
        return state_arrays(optimizer)

    mx.random.seed(1)
    whole: Any = Linear(8, 4)
    parts: Any = Linear(8, 4)
    parts.update(whole.parameters())
    before = mx.array(whole.weight)
    state = ran(whole, 4, None)
    half = ran(parts, 2, None)
    ended = ran(parts, 2, half)
    assert mx.array_equal(parts.weight, whole.weight).item()
    assert set(ended) == set(state)
    assert int(str(ended["step"].item())) == 4
    assert (whole.weight.mean() < before.mean()).item()
    with pytest.raises(TrainingError, match="of another optimiser"):
        ran(parts, 1, {"step": mx.array(3)})
