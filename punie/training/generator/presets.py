"""What a generated dataset is a mix of: presets by name, from `presets.toml`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from punie.tools.base import ToolLimits
from punie.training.errors import TrainingError
from punie.training.generator.families import DIRECT_FAMILIES, FAMILIES, TOOL_FAMILIES

_FILE = Path(__file__).with_name("presets.toml")


class Mix(BaseModel):
    """What conversations are made, and how often which.

    Attributes:
        projects: what they act on: "small" projects of a few files.
        direct: share of conversations that are answered without a tool.
        tools: how tools are called: by the "default" set.
        result_chars: characters of a result that the model reads.
        command_seconds: how long a command may run.
        denied: share of tasks whose edits and commands the user does not allow.
        turns: how often a conversation has one turn, two, three.
        weights: how often which family of tasks; those that need no tool are weighed among
            themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    projects: Literal["small"]
    direct: float = Field(ge=0, le=1)
    tools: Literal["default"]
    result_chars: int = Field(ge=400)
    command_seconds: float = Field(gt=0)
    denied: float = Field(ge=0, le=1)
    turns: tuple[float, ...] = Field(min_length=1)
    weights: dict[str, float]

    @model_validator(mode="after")
    def _known_families(self) -> Self:
        unknown = sorted(set(self.weights) - set(FAMILIES))
        if unknown:
            raise ValueError(f"there is no family {unknown[0]!r}; known: {', '.join(FAMILIES)}")
        if self.direct < 1 and not self.tool_weights:
            raise ValueError("no family that needs a tool has a weight")
        if self.direct > 0 and not self.direct_weights:
            raise ValueError("no family that needs no tool has a weight")
        return self

    @property
    def limits(self) -> ToolLimits:
        """The tools' limits."""
        return ToolLimits(result_chars=self.result_chars, command_seconds=self.command_seconds)

    @property
    def tool_weights(self) -> dict[str, float]:
        """The weights of families that need a tool."""
        return {name: each for name, each in self.weights.items() if _counts(name, each)}

    @property
    def direct_weights(self) -> dict[str, float]:
        """The weights of families that need none."""
        return {
            name: each
            for name, each in self.weights.items()
            if each > 0 and name in DIRECT_FAMILIES
        }

    def all_weights(self) -> Mapping[str, float]:
        """Return the weights of all families, with as many direct answers as are wanted."""
        tool, direct = self.tool_weights, self.direct_weights
        return {
            **{name: (1 - self.direct) * each / sum(tool.values()) for name, each in tool.items()},
            **{name: self.direct * each / sum(direct.values()) for name, each in direct.items()},
        }


def _counts(name: str, weight: float) -> bool:
    return weight > 0 and name in TOOL_FAMILIES


@cache
def presets() -> Mapping[str, Mix]:
    """Return the presets by name."""
    read = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {name: Mix.model_validate(mix) for name, mix in read.items()}


def preset(name: str) -> Mix:
    """Return a preset.

    Raises:
        TrainingError: there is none of that name.
    """
    try:
        return presets()[name]
    except KeyError:
        known = ", ".join(presets())
        raise TrainingError(f"There is no preset {name!r}; choose one of {known}.") from None
