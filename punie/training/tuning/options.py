"""What decides how a model is tuned."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["lora", "dora", "full"]
Optimizer = Literal["adam", "adamw", "muon", "sgd", "adafactor"]
Schedule = Literal["constant", "linear", "cosine"]


class TuneOptions(BaseModel):
    """How a model is tuned; with model and data they decide the result, bit for bit on one machine.

    Attributes:
        kind: "lora" and "dora" train an adapter beside frozen weights, "full" the weights.
        layers: how many of the last layers are trained, all if the model has fewer; 0 for all.
        keys: which matrices of a layer get an adapter, such as "self_attn.q_proj"; all if empty.
        rank: columns of an adapter's matrices.
        scale: what an adapter's product is multiplied with.
        dropout: share of an adapter's inputs that are left out at random in training.
        embeddings: whether "full" trains the embeddings and the head too.
        steps: optimiser steps.
        batch: sequences that are computed at once.
        accumulate: batches whose gradients make one step.
        longest: tokens of the longest sequence that is taken.
        too_long: share of the sequences that may be longer, which are left out; more is refused.
        optimizer: which of MLX's optimisers.
        learning_rate: its peak.
        schedule: how the rate falls to its end after the warm-up.
        warm_up: steps in which it rises to its peak.
        end: share of the peak that is left after the last step.
        weight_decay: decoupled, for those optimisers that have it (adamw, muon, adafactor).
        clip: largest norm of a step's gradient; 0 for no limit.
        recompute: compute a layer's activations again for its gradient instead of keeping them;
            takes less memory and a third more time.
        seed: of the adapter's weights, the order of the data and dropout.
        validation_steps: steps between validations.
        validation_examples: how many examples a validation takes, the first of the part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "lora"
    layers: int = Field(8, ge=0)
    keys: tuple[str, ...] = ()
    rank: int = Field(8, ge=1)
    scale: float = Field(20.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    embeddings: bool = False
    steps: int = Field(500, ge=1)
    batch: int = Field(4, ge=1)
    accumulate: int = Field(1, ge=1)
    longest: int = Field(2048, ge=8)
    too_long: float = Field(0.1, ge=0, le=1)
    optimizer: Optimizer = "adamw"
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Schedule = "cosine"
    warm_up: int = Field(10, ge=0)
    end: float = Field(0.1, ge=0, le=1)
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, ge=0)
    recompute: bool = False
    seed: int = Field(0, ge=0)
    validation_steps: int = Field(100, ge=1)
    validation_examples: int = Field(100, ge=1)

    @model_validator(mode="after")
    def _fit_each_other(self) -> "TuneOptions":
        if self.kind == "full" and self.keys:
            raise ValueError("keys choose where an adapter goes; full training has none")
        if self.kind != "full" and self.embeddings:
            raise ValueError("embeddings are trained by full training alone")
        if self.steps <= self.warm_up:
            raise ValueError(
                f"a warm-up of {self.warm_up} steps leaves none of {self.steps} for training"
            )
        return self
