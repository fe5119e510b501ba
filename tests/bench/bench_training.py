"""How fast `punie train` learns, against mlx-lm's own loop on the same batches.

Both train the bundled model in one process, step by step in turn: mlx-lm's `train` asks for a
batch, and before it gets it Punie's step learns the same one. Prints the ratio of the tokens per
second (medians over the steps of a shape that both have compiled), which has to be at least 0.95:

    python tests/bench/bench_training.py [--steps 24]
"""

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from punie.models.mlx.bench.rows import Limit, Row, all_hold
from punie.training.process import prepare_process

LIMIT = Limit("at least", 0.95)
SAME = Limit("at most", 1.0)
_ROWS = 4
_TOLERANCE = 1e-3
_WARM = 2
"""Steps of each shape that are not counted: they compile."""


def main() -> int:
    """Measure and print; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=24)
    steps = parser.parse_args().steps
    for line in prepare_process(exact=True):
        print(line)
    findings = [row for kind in ("lora", "full") for row in compare(kind, steps)]
    for finding in findings:
        print(finding.line())
    return int(not all_hold(findings))


def compare(kind: str, steps: int) -> list[Row]:
    """Train twice the same, in turn."""
    import mlx.core as mx

    from punie.models.catalog import bundled_directory
    from punie.training.pretraining.batches import make_batch
    from punie.training.tuning.loop import Step
    from punie.training.tuning.options import TuneOptions
    from punie.training.tuning.run import prepare

    options = TuneOptions.model_validate({"kind": kind, "layers": 0, "batch": _ROWS, "warm_up": 0})
    with tempfile.TemporaryDirectory() as folder:
        ready = prepare(options, bundled_directory(), write_data(Path(folder) / "data"))
    # Few shapes, and all steps of one behind each other.
    sequences = sorted(ready.training.sequences, key=lambda each: len(each.ids))
    groups = [sequences[at : at + _ROWS] for at in range(0, len(sequences), _ROWS)]
    batches = [group for group in groups for _ in range(steps // len(groups) + _WARM)]

    (model, optimizer), (other, others) = (_ready(options) for _ in range(2))
    step = Step(model, optimizer, options.clip)
    ours: list[float] = []
    losses: list[float] = []
    theirs: list[dict[str, float]] = []

    def batches_in_turn(**_: Any) -> Iterator[tuple[mx.array, mx.array]]:
        """Learn a batch, then hand it to mlx-lm."""
        for group in batches:
            began = time.perf_counter()
            batch = make_batch(group)
            losses.append(step([batch])[0])
            ours.append(time.perf_counter() - began)
            # It reads all but the last column, and learns from `first` to the end of the row.
            rows = [[*each.ids.tolist(), *[0] * batch.tokens.shape[1]] for each in group]
            width = batch.tokens.shape[1] + 1
            spans = [[int(each.learned.argmax()), int(each.learned.sum())] for each in group]
            spans = [[first, first + count - 1] for first, count in spans]
            yield mx.array([row[:width] for row in rows]), mx.array(spans)

    train_as_mlx_lm_does(other, others, len(batches), batches_in_turn, theirs)
    counted = [n for n in range(len(batches)) if n % (steps // len(groups) + _WARM) >= _WARM]
    by_shape: dict[int, list[float]] = {}
    for n in counted:
        ratio = 1 / theirs[n]["iterations_per_second"] / ours[n]
        by_shape.setdefault(id(batches[n]), []).append(ratio)
    speed = statistics.fmean(statistics.median(ratios) for ratios in by_shape.values())
    tokens = sum(sum(len(each.ids) for each in batches[n]) for n in counted)
    seconds = sum(ours[n] for n in counted)
    slower = sum(1 / theirs[n]["iterations_per_second"] for n in counted)
    apart = abs(losses[0] - theirs[0]["train_loss"]) / _TOLERANCE
    return [
        Row(
            f"{kind}: speed",
            speed,
            "times",
            f"that of mlx-lm's loop ({tokens / seconds:,.0f} and {tokens / slower:,.0f} tokens/s)",
            LIMIT,
        ),
        Row(
            f"{kind}: difference of the first losses",
            apart,
            "times",
            f"what rounding explains ({losses[0]:.5f} and {theirs[0]['train_loss']:.5f})",
            SAME,
        ),
    ]


def _ready(options: Any) -> tuple[Any, Any]:
    """Return the bundled model and an optimiser, as both begin with them."""
    import mlx.core as mx

    from punie.models.catalog import bundled_directory
    from punie.models.mlx.library import load_model
    from punie.training.tuning.layers import make_trainable
    from punie.training.tuning.optimizer import make_optimizer

    mx.random.seed(0)
    model, _ = load_model(bundled_directory())
    make_trainable(model, options)
    optimizer = make_optimizer(options)
    optimizer.init(model.trainable_parameters())
    model.train()
    mx.eval(model.state, optimizer.state)
    return model, optimizer


def train_as_mlx_lm_does(
    model: Any, optimizer: Any, steps: int, batches: Any, told: list[dict[str, float]]
) -> None:
    """Run mlx-lm's own training; `told` receives what it reports of each step."""
    from mlx_lm.tuner.callbacks import TrainingCallback
    from mlx_lm.tuner.trainer import TrainingArgs, train

    class Listening(TrainingCallback):
        def on_train_loss_report(self, train_info: dict[str, float]) -> None:
            told.append(dict(train_info))

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        arguments = TrainingArgs(
            batch_size=_ROWS,
            iters=steps,
            steps_per_report=1,
            steps_per_save=steps + 1,
            adapter_file=str(Path(folder) / "adapters.safetensors"),
        )
        train(
            model,
            optimizer,
            [],
            args=arguments,
            iterate_batches=batches,
            training_callback=Listening(),
        )


def write_data(folder: Path) -> Path:
    """Write conversations of one answer, in two lengths, that answers take a third of."""
    from punie.training.data.dataset import Manifest, write_dataset
    from punie.training.data.example import Example

    random = Random(0)
    examples = []
    for words in (24, 60):
        for _ in range(_ROWS):
            said = [" ".join(random.choices(("read", "list", "find", "x = 1", "a.py"), k=words))]
            said.append(" ".join(random.choices(("yes", "no", "file", "line"), k=words // 2)))
            messages = [
                {"role": role, "content": text}
                for role, text in zip(("user", "assistant"), said, strict=True)
            ]
            examples.append(Example.model_validate({"messages": messages}))
    return write_dataset(folder, Manifest(made_by="bench"), {"train": examples}).folder


if __name__ == "__main__":
    sys.exit(main())
