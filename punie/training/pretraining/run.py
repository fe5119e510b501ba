"""Training a small model from nothing: tokenizer and weights, from a dataset to a model folder."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import mlx.core as mx
from pydantic import BaseModel, ConfigDict, Field, model_validator
from tokenizers import Tokenizer

from punie.models.checking import check_model
from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import Dataset, open_dataset
from punie.training.distilling.lessons import Lesson
from punie.training.distilling.teaching import SCRATCH, Taught, TaughtBy, Teaching, read_lessons
from punie.training.encoding import encode_part
from punie.training.errors import TrainingError
from punie.training.hashing import value_hash
from punie.training.output import output_folder, write_text
from punie.training.pretraining.batches import Example, encoded, length_summary
from punie.training.pretraining.checkpoint import save_weights
from punie.training.pretraining.optimizer import Rates
from punie.training.pretraining.tiny_architecture import TinyShape, write_description
from punie.training.pretraining.tokenizer import save_tokenizer, train_tokenizer
from punie.training.pretraining.trainer import Recipe, train
from punie.training.progress import Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash, write_provenance

_LARGEST_WEIGHTS = 64_000_000
_TOKENIZER_EXAMPLES = 20_000


class PretrainOptions(BaseModel):
    """How a model is made from nothing. `shape` measures it, the rest is how it is trained.

    Attributes:
        vocab, hidden, layers, heads, key_value_heads, head_dim, inner, window: the shape, see
            `TinyShape`.
        steps: optimiser steps.
        tokens: tokens, padding included, of one step.
        muon_rate, adam_rate: peak learning rates of block matrices, and of embeddings and norms.
        warm_up: steps until the peak.
        hold: share of the steps at the peak.
        seed: of weights and the order of the data.
        validation_steps: steps between validations.
        teaching: how much a teacher's logits count, if there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocab: int = Field(1024, ge=300)
    hidden: int = Field(256, ge=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(8, ge=1)
    key_value_heads: int = Field(2, ge=1)
    head_dim: int = Field(32, ge=4)
    inner: int = Field(640, ge=8)
    window: int = Field(2048, ge=64)
    steps: int = Field(4000, ge=1)
    tokens: int = Field(3072, ge=64)
    muon_rate: float = Field(1e-2, gt=0)
    adam_rate: float = Field(2e-3, gt=0)
    warm_up: int = Field(50, ge=1)
    hold: float = Field(0.3, ge=0, lt=1)
    seed: int = 1
    validation_steps: int = Field(500, ge=1)
    teaching: Teaching = Teaching()

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.heads % self.key_value_heads:
            raise ValueError(
                f"{self.heads} heads cannot share {self.key_value_heads} key and value heads evenly"
            )
        if self.head_dim % 2:
            raise ValueError(f"a head of {self.head_dim} has no two halves to rotate")
        return self

    @property
    def shape(self) -> TinyShape:
        """What is trained."""
        return TinyShape(
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            layers=self.layers,
            attention_heads=self.heads,
            key_value_heads=self.key_value_heads,
            head_dim=self.head_dim,
            intermediate_size=self.inner,
            max_positions=self.window,
        )

    def recipe(self, workers: int, checkpoint_seconds: float) -> Recipe:
        """Return how it is trained; neither argument changes the result."""
        return Recipe(
            steps=self.steps,
            tokens_per_batch=self.tokens,
            rates=Rates(muon=self.muon_rate, adam=self.adam_rate),
            warm_up=self.warm_up,
            hold=self.hold,
            seed=self.seed,
            validation_steps=self.validation_steps,
            workers=workers,
            checkpoint_seconds=checkpoint_seconds,
        )


def pretrain(
    options: PretrainOptions,
    dataset: Path,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    tokenizer: Path | None = None,
    teacher: Path | None = None,
    targets: Path | None = None,
    workers: int = 2,
    checkpoint_seconds: float = 120.0,
) -> Path:
    """Make a model from nothing and return its folder, `out`. The same call goes on after a stop.

    Args:
        options: shape and recipe; with the data they decide the result, bit for bit on one machine.
        dataset: its part "train" is learned, "valid" measured.
        out: the new model folder, with `log.jsonl` beside the model's own files.
        report: told of progress.
        stopped: asked after every step.
        tokenizer: a model folder whose tokenizer is taken instead of a new one.
        teacher: a model with the same tokens, whose logits are learned too.
        targets: a folder for what the teacher says, which other runs on the same data read.
        workers: halves of a batch that are computed at once, 1 or 2.
        checkpoint_seconds: time between checkpoints.

    Raises:
        TrainingError: the inputs do not fit each other, or `out` cannot be written.
        Interrupted: `stopped()`.
    """
    mx.set_default_device(mx.Device(mx.cpu))
    check_size(options)
    data = open_dataset(dataset)
    if teacher is not None:
        check_model(teacher)
    with output_folder(out, keep_unfinished=True) as folder:
        parents = {"dataset": data.hash}
        if teacher is not None:
            parents["teacher"] = model_hash(teacher)
        _check_same_call(folder, options, parents)
        _prepare_tokenizer(folder, data, options, tokenizer)
        chat_format = ChatFormat.load(folder)
        taught_by = TaughtBy(teacher, options.teaching, targets) if teacher else None
        shared = taught_by.vocabulary(folder) if taught_by else None
        found: list[Lesson] = []
        if taught_by is None:
            # As lists of numbers they would take ten times the memory.
            training = _read(chat_format, data, "train", options, report, stopped)
        else:
            found = read_lessons(
                chat_format, taught_by.teacher, data, "train", options.window, report, stopped
            )
            training = [encoded(lesson.sequence, number) for number, lesson in enumerate(found)]
        if not training:
            raise TrainingError(f"No conversation of {dataset} fits a window of {options.window}.")
        unseen: list[Example] = []
        if "valid" in data.manifest.parts:
            unseen = _read(chat_format, data, "valid", options, report, stopped)
        taught = None
        if taught_by is not None and shared is not None:
            # What is read only once is asked only once anyway.
            again = options.steps * options.tokens > sum(len(each.ids) for each in training)
            scratch = folder / SCRATCH if again else None
            source = taught_by.source(found, shared, report, stopped, scratch=scratch)
            taught = Taught(options.teaching, source)
        report(Progress(length_summary(training), 0, options.steps, "steps"))
        recipe = options.recipe(workers, checkpoint_seconds)
        parameters = train(
            recipe, options.shape, training, unseen, folder, report, stopped, taught=taught
        )
        save_weights(folder, parameters)
        (folder / "checkpoint.safetensors").unlink()
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        (folder / _CALL).unlink()
        write_provenance(folder, "pretrain", parents, options.model_dump())
    return out


def _read(
    chat_format: ChatFormat,
    data: Dataset,
    part: str,
    options: PretrainOptions,
    report: Reporter,
    stopped: Stopped,
) -> list[Example]:
    return encode_part(chat_format, data, part, options.window, report, stopped).sequences


def check_size(options: PretrainOptions) -> None:
    """Raise `TrainingError` for a shape that is too large to be trained from nothing."""
    if options.shape.parameter_count * 4 > _LARGEST_WEIGHTS:
        raise TrainingError(
            f"{options.shape.parameter_count:,} parameters are too many to train from nothing "
            "here; choose fewer layers or a smaller width."
        )


_CALL = "unfinished.json"


def _check_same_call(folder: Path, options: PretrainOptions, parents: Mapping[str, str]) -> None:
    """Start an unfinished folder anew if it is of another recipe or of other data."""
    kept = folder / _CALL
    call = value_hash([options.model_dump(mode="json"), dict(parents)])
    if kept.is_file() and kept.read_text(encoding="utf-8") == call:
        return
    for file in folder.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    write_text(kept, call)


def _prepare_tokenizer(
    folder: Path, data: Dataset, options: PretrainOptions, given: Path | None
) -> None:
    """Put a tokenizer into the folder: the one of the run so far, the given one, a new one."""
    shape = options.shape
    own = folder / "tokenizer.json"
    source = own if own.is_file() else given / "tokenizer.json" if given else None
    if source is not None:
        if not source.is_file():
            raise TrainingError(f"There is no tokenizer at {source}.")
        tokenizer = Tokenizer.from_file(str(source))
    else:
        conversations = [
            example.chat()
            for _, example in zip(range(_TOKENIZER_EXAMPLES), data.examples("train"), strict=False)
        ]
        tokenizer = train_tokenizer(conversations, shape.vocab_size)
    if tokenizer.get_vocab_size() != shape.vocab_size:
        raise TrainingError(
            f"The tokenizer has {tokenizer.get_vocab_size()} ids and the model "
            f"{shape.vocab_size}; give the model as many."
        )
    save_tokenizer(tokenizer, folder, shape.max_positions)
    write_description(folder, shape)
