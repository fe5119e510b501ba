"""What decides how a model learns from the user's own sessions."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from punie.training.data.from_sessions import FromSessionsOptions


class LearnOptions(BaseModel):
    """How a model learns.

    Attributes:
        selection: which turns are taken.
        model: reference of the model to begin with; None for the one that is in use, and of one
            that was learned the one before.
        least: how many examples there must be.
        rehearsal: share of generated examples among all, so that nothing is forgotten.
        passes: how often every example is learned, about.
        seed: of all randomness.
        values: other values of the recipe by key, such as "tune.rank".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    selection: FromSessionsOptions = Field(default_factory=FromSessionsOptions)
    model: str | None = None
    least: int = Field(default=10, ge=1)
    rehearsal: float = Field(default=0.5, ge=0.1, le=0.95)
    passes: float = Field(default=3.0, gt=0, le=100)
    seed: int = Field(default=1, ge=0)
    values: dict[str, Any] = Field(default_factory=dict)
