"""What a generated dataset is a mix of: presets by name, from `presets.toml`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from punie.tools.base import ToolLimits
from punie.training.errors import TrainingError
from punie.training.generator.families import (
    CODE_FAMILIES,
    DIRECT_FAMILIES,
    FAMILIES,
    TOOL_FAMILIES,
)
from punie.training.generator.packages import make_package
from punie.training.generator.projects import Project, make_project
from punie.training.generator.tasks import Family

_FILE = Path(__file__).with_name("presets.toml")


class Mix(BaseModel):
    """What conversations are made, and how often which.

    Attributes:
        projects: what they act on: "small" projects of a few files, or "packages" with types,
            tests and a git history.
        direct: share of conversations that are answered without a tool.
        code: share of conversations in code mode.
        result_chars: characters of a result that the model reads.
        command_seconds: how long a command may run.
        denied: share of tasks whose edits and commands the user does not allow.
        turns: how often a conversation has one turn, two, three.
        weights: how often which family of tasks; those that need no tool are weighed among
            themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    projects: Literal["small", "packages"]
    direct: float = Field(ge=0, le=1)
    code: float = Field(ge=0, le=1)
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
        needed = (
            ("calls tools one by one", self.tool_weights, (1 - self.direct) * (1 - self.code)),
            ("calls tools from code", self.code_weights, (1 - self.direct) * self.code),
            ("needs no tool", self.direct_weights, self.direct),
        )
        for what, weights, share in needed:
            if share and not weights:
                raise ValueError(f"no family that {what} has a weight")
        return self

    def project(self, rng: Random, *, held_out: bool = False) -> Project:
        """Make a project for tasks of this mix."""
        if self.projects == "packages":
            return make_package(rng, held_out=held_out)
        return make_project(rng, held_out=held_out)

    @property
    def limits(self) -> ToolLimits:
        """The tools' limits."""
        return ToolLimits(result_chars=self.result_chars, command_seconds=self.command_seconds)

    @property
    def tool_weights(self) -> dict[str, float]:
        """The weights of families that call tools one by one."""
        return self._of(TOOL_FAMILIES)

    @property
    def code_weights(self) -> dict[str, float]:
        """The weights of families that call tools from code."""
        return self._of(CODE_FAMILIES)

    @property
    def direct_weights(self) -> dict[str, float]:
        """The weights of families that need no tool."""
        return self._of(DIRECT_FAMILIES)

    def _of(self, families: Mapping[str, Family]) -> dict[str, float]:
        return {name: each for name, each in self.weights.items() if each > 0 and name in families}

    def all_weights(self, *, code: bool = False) -> Mapping[str, float]:
        """Return the weights of tasks of one mode, with as many direct answers as are wanted."""
        tool, direct = self.code_weights if code else self.tool_weights, self.direct_weights
        return {
            **{name: (1 - self.direct) * each / sum(tool.values()) for name, each in tool.items()},
            **{name: self.direct * each / sum(direct.values()) for name, each in direct.items()},
        }


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


def changed_preset(name: str, weights: Mapping[str, float], **changes: Any) -> Mix:
    """Return a preset with other weights of some families, and with other values of its own.

    A change to None is none.

    Raises:
        TrainingError: there is no such preset or family, or nothing to mix.
    """
    mix = preset(name)
    wanted = {key: value for key, value in changes.items() if value is not None}
    try:
        return Mix.model_validate(
            {**mix.model_dump(), **wanted, "weights": {**mix.weights, **weights}}
        )
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise TrainingError(f"This mix cannot be made: {said}.") from None
