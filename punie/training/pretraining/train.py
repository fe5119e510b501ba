"""Train the bundled model from scratch.

Run as `python -m punie.training.pretraining.train --data FOLDER --out FOLDER --minutes 75`. The
data folder holds `train.jsonl` and `valid.jsonl`. The result is a model directory in
`FOLDER/model`.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer

from punie.models.blas import prefer_fast_blas
from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.conversation import Message
from punie.training.kernels import keep_freed_memory, prefer_native_kernels
from punie.training.pretraining.batches import encode_examples, length_summary, read_conversations
from punie.training.pretraining.tiny_architecture import TinyShape, write_description
from punie.training.pretraining.tokenizer import save_tokenizer, train_tokenizer

_LINE_SECONDS = 30.0
_LARGEST_WEIGHTS = 12_000_000
_TOKENIZER_CONVERSATIONS = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train; the exit code is 2 for a bad input."""
    options = _parser().parse_args(arguments)
    # MLX must not be loaded before the BLAS is chosen, so the loop is imported only here.
    print(prefer_fast_blas(1 if options.workers == 2 else 2).detail)
    print(prefer_native_kernels())
    keep_freed_memory()
    try:
        return _train(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m punie.training.pretraining.train", description=__doc__
    )
    shape = TinyShape()
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with train.jsonl and valid.jsonl")
    add("--out", type=Path, required=True, help="folder for checkpoint, log and model")
    add("--minutes", type=float, default=75.0, help="training time over all starts")
    add("--tokens", type=int, default=4096, help="tokens of one optimiser step")
    add("--muon-rate", type=float, default=1e-2)
    add("--adam-rate", type=float, default=2e-3)
    add("--seed", type=int, default=1)
    add("--workers", type=int, choices=(1, 2), default=2)
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    add("--tokenizer", type=Path, help="folder with a tokenizer.json to use instead of a new one")
    add("--vocab", type=int, default=shape.vocab_size)
    add("--hidden", type=int, default=shape.hidden_size)
    add("--layers", type=int, default=shape.layers)
    add("--heads", type=int, default=shape.attention_heads)
    add("--key-value-heads", type=int, default=shape.key_value_heads)
    add("--head-dim", type=int, default=shape.head_dim)
    add("--inner", type=int, default=shape.intermediate_size)
    return parser


def _train(options: argparse.Namespace) -> int:
    import mlx.core as mx

    from punie.training.pretraining.checkpoint import CheckpointError
    from punie.training.pretraining.optimizer import Rates
    from punie.training.pretraining.trainer import Recipe, train
    from punie.training.progress import stop_on_signals

    mx.set_default_device(mx.Device(mx.cpu))
    shape = TinyShape(
        vocab_size=options.vocab,
        hidden_size=options.hidden,
        layers=options.layers,
        attention_heads=options.heads,
        key_value_heads=options.key_value_heads,
        head_dim=options.head_dim,
        intermediate_size=options.inner,
    )
    if shape.parameter_count * 4 > _LARGEST_WEIGHTS:
        raise ValueError(f"{shape.parameter_count} parameters are more than the package may carry")
    options.out.mkdir(parents=True, exist_ok=True)
    conversations = read_conversations(_files(options.data, "train"))
    unseen = read_conversations(_files(options.data, "valid"))
    _prepare_tokenizer(options, shape, conversations)
    chat_format = ChatFormat.load(options.out / "model")
    training = encode_examples(chat_format, conversations, shape.max_positions)
    validation = encode_examples(chat_format, unseen, shape.max_positions)
    if not training:
        raise ValueError(f"no conversation in {options.data} fits the model's window")
    if len(training) < len(conversations):
        print(f"{len(conversations) - len(training)} conversations are too long and left out")
    print(f"{shape.parameter_count} parameters; {length_summary(training)}", flush=True)
    recipe = Recipe(
        minutes=options.minutes,
        tokens_per_batch=options.tokens,
        rates=Rates(muon=options.muon_rate, adam=options.adam_rate),
        seed=options.seed,
        workers=options.workers,
    )
    try:
        with stop_on_signals() as stopped, _Display(recipe.minutes * 60) as display:
            done = train(
                recipe,
                shape,
                training,
                validation,
                options.out,
                display.show,
                resume=options.resume,
                stopped=stopped,
            )
    except CheckpointError as error:
        raise ValueError(str(error)) from error
    print(f"{done.step} steps in {done.elapsed / 60:.1f} minutes; {options.out / 'model'}")
    return 0


def _files(folder: Path, part: str) -> list[Path]:
    """The JSON-lines files of one part: `train.jsonl`, and `train-*.jsonl` added later."""
    files = sorted(folder.glob(f"{part}.jsonl")) + sorted(folder.glob(f"{part}-*.jsonl"))
    if not files:
        raise ValueError(f"there is no {part}.jsonl in {folder}")
    return files


def _prepare_tokenizer(
    options: argparse.Namespace, shape: TinyShape, conversations: Sequence[Sequence[Message]]
) -> None:
    """Put a tokenizer into the model folder: the given one, that of the run so far, a new one."""
    own = options.out / "model" / "tokenizer.json"
    given = options.tokenizer / "tokenizer.json" if options.tokenizer else own
    if options.tokenizer or (options.resume and own.is_file()):
        if not given.is_file():
            raise ValueError(f"there is no tokenizer at {given}")
        tokenizer = Tokenizer.from_file(str(given))
    else:
        tokenizer = train_tokenizer(conversations[:_TOKENIZER_CONVERSATIONS], shape.vocab_size)
    if tokenizer.get_vocab_size() != shape.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.get_vocab_size()} ids and the model {shape.vocab_size}"
        )
    save_tokenizer(tokenizer, options.out / "model", shape.max_positions)
    write_description(options.out / "model", shape)


class _Display:
    """Shows a run: a bar on a terminal, otherwise a line every half minute."""

    def __init__(self, seconds: float) -> None:
        console = Console()
        self._plain = not console.is_terminal
        self._printed = 0.0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=self._plain,
        )
        self._task = self._bar.add_task("starting", total=seconds)

    def __enter__(self) -> "_Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, values: dict[str, Any]) -> None:
        """Show the values of one step or one validation."""
        checked = "turns" in values
        text = " ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in values.items()
        )
        if self._plain:
            if checked or time.monotonic() - self._printed >= _LINE_SECONDS:
                self._printed = time.monotonic() if not checked else self._printed
                print(text, flush=True)
        elif checked:
            self._bar.console.print(text)
        else:
            shown = f"step {values['step']} loss {values['loss']:.3f} {values['accuracy']:.1%}"
            self._bar.update(self._task, completed=values["elapsed"], description=shown)


if __name__ == "__main__":
    raise SystemExit(main())
