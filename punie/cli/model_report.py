"""What `punie models list` and `info` tell about a model."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.cli.jetbrains import NAME, JetBrainsConfigError, config_path, read_config
from punie.models.architecture import (
    Architecture,
    context_window,
    quantization_of,
    read_architecture,
)
from punie.models.catalog import (
    BUNDLED_ID,
    USUAL_CONTEXT,
    ModelChoice,
    ModelUnavailable,
    available_models,
    read_json_object,
    resolve_model,
    weight_bytes,
)
from punie.models.hub import Repository, repositories
from punie.models.machine import MachineMemory
from punie.models.memory import Fit, estimate, fits, gigabytes, largest_context
from punie.models.traits import ModelTraits, TemplateTraits, Thinking, read_traits

_LENGTHS = (8_192, 32_768, 131_072, 262_144)
"""Tokens for which `info` tells the memory."""


@dataclass(frozen=True)
class Row:
    """One model of the list; sizes in bytes, `context` in tokens."""

    choice: ModelChoice
    in_use: bool
    size: int
    bits: int | None
    context: int
    fit: Fit

    def line(self) -> str:
        """Say it in one line."""
        bits = f"{self.bits}-bit" if self.bits else "not quantized"
        return f"{gigabytes(self.size)}, {bits}, reads {self.context:,} tokens"

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {
            "id": self.choice.id,
            "source": self.choice.source,
            "path": str(self.choice.path),
            "in_use": self.in_use,
            "bytes": self.size,
            "bits": self.bits,
            "context": self.context,
            "fit": self.fit.level,
            "needed_bytes": self.fit.needed,
            "verdict": self.fit.sentence,
        }


def rows(settings_model: str | None, used: Sequence[str], machine: MachineMemory) -> list[Row]:
    """Return the models that can be used here; scripts are none."""
    found = []
    for choice in available_models(settings_model):
        if choice.path is not None and choice.source != "scripted":
            config = read_json_object(choice.path / "config.json")
            size = weight_bytes(choice.path)
            quantization = quantization_of(config)
            architecture = read_architecture(config)
            found.append(
                Row(
                    choice=choice,
                    in_use=choice.id in used,
                    size=size,
                    bits=quantization.bits if quantization else None,
                    context=context_window(config),
                    fit=fits(architecture, size, machine, context=USUAL_CONTEXT),
                )
            )
    return found


def unfinished_downloads() -> list[Repository]:
    """Return what was begun to be downloaded and cannot be used yet."""
    return [found for found in repositories() if found.unfinished and found.snapshot is None]


def used_models(settings_model: str | None, home: Path) -> list[str]:
    """Return the ids of the models in use: by the settings, and by what the IDE starts."""
    references = [settings_model or BUNDLED_ID, *_of_the_ide(home)]
    ids = []
    for reference in references:
        try:
            ids.append(resolve_model(reference).id)
        except ModelUnavailable:
            ids.append(reference)
    return list(dict.fromkeys(ids))


def _of_the_ide(home: Path) -> list[str]:
    try:
        content = read_config(config_path(home)).content
    except JetBrainsConfigError:
        return []
    servers = content.get("agent_servers")
    entry = servers.get(NAME) if isinstance(servers, Mapping) else None
    arguments = entry.get("args") if isinstance(entry, Mapping) else None
    words = [str(word) for word in arguments] if isinstance(arguments, list) else []
    named = [word.removeprefix("--model=") for word in words if word.startswith("--model=")]
    return named + [after for word, after in itertools.pairwise(words) if word == "--model"]


@dataclass(frozen=True)
class Report:
    """All that `info` tells of one model; `keeps_thoughts` is None without a working template."""

    choice: ModelChoice
    in_use: bool
    traits: ModelTraits
    architecture: Architecture | None
    keeps_thoughts: bool | None
    trouble: str | None
    fit: Fit
    machine: MachineMemory

    @property
    def needs(self) -> dict[int, int]:
        """Bytes of memory by tokens of context, up to the model's window."""
        if self.architecture is None:
            return {}
        window = self.architecture.window
        lengths = sorted({length for length in _LENGTHS if length < window} | {window})
        metal = self.machine.is_metal
        return {
            length: estimate(
                self.architecture, self.traits.weights, context=length, metal=metal
            ).total
            for length in lengths
        }

    @property
    def longest(self) -> int | None:
        """Tokens of context that this machine holds at most."""
        if self.architecture is None:
            return None
        return largest_context(
            self.architecture,
            self.traits.weights,
            self.machine.usable,
            metal=self.machine.is_metal,
        )


def report(choice: ModelChoice, used: Sequence[str], machine: MachineMemory) -> Report:
    """Look at a model's files; raise `ModelUnavailable` if they are not whole."""
    assert choice.path is not None
    traits = read_traits(choice.path)
    architecture = read_architecture(read_json_object(choice.path / "config.json"))
    # Rendering shows what the text of a template does not; the tokenizer takes a moment.
    from punie.models.mlx.chat_format import ChatFormat

    keeps_thoughts, trouble = None, None
    try:
        keeps_thoughts = ChatFormat.load(choice.path).keeps_thoughts
    except ModelUnavailable as error:
        trouble = str(error)
    return Report(
        choice=choice,
        in_use=choice.id in used,
        traits=traits,
        architecture=architecture,
        keeps_thoughts=keeps_thoughts,
        trouble=trouble,
        fit=fits(architecture, traits.weights, machine, context=USUAL_CONTEXT),
        machine=machine,
    )


def report_lines(found: Report) -> list[str]:
    """Write a report for a person."""
    traits = found.traits
    known = "" if traits.supported else ", which the installed mlx-lm does not know"
    quantization = "none"
    if traits.quantization is not None:
        packed = traits.quantization
        quantization = f"{packed.bits} bits in groups of {packed.group_size} ({packed.mode})"
    lines = [
        f"{found.choice.id}{' (in use)' if found.in_use else ''}",
        f"  files         {found.choice.path}",
        f"  architecture  {traits.model_type}{known}",
        f"  parameters    {_count(traits.parameters)}, {gigabytes(traits.weights)}",
        f"  quantization  {quantization}",
        f"  reads         {traits.window:,} tokens",
        *_template_lines(traits.template, found.keeps_thoughts),
    ]
    for length, needed in found.needs.items():
        lines.append(f"  memory        {gigabytes(needed):>8} with {length:,} tokens")
    if found.longest is not None:
        lines.append(f"  here          up to {found.longest:,} tokens")
    lines.append(f"  verdict       {found.fit.sentence}")
    if found.trouble is not None:
        lines.append(f"  trouble       {found.trouble}")
    return lines


def _template_lines(template: TemplateTraits | None, keeps_thoughts: bool | None) -> list[str]:
    if template is None:
        return ["  template      none: this model cannot be talked to"]
    shown = "" if template.tools else "; its template does not show tools to the model"
    calls = f"written as {template.syntax.upper()}{shown}"
    levels = ", ".join(map(_level, template.thinking_levels)) or "cannot be chosen"
    lines = [f"  tool calls    {calls}", f"  thinking      {levels}"]
    if keeps_thoughts is not None:
        kept = "kept, so that prompts only grow" if keeps_thoughts else "dropped at each question"
        by_choice = " (can be chosen)" if template.preserve_thinking else ""
        lines.append(f"  old thoughts  {kept}{by_choice}")
    return lines


def report_json(found: Report) -> dict[str, Any]:
    """Return a report for `--json`."""
    traits, template = found.traits, found.traits.template
    packed = traits.quantization
    return {
        "id": found.choice.id,
        "source": found.choice.source,
        "path": str(found.choice.path),
        "in_use": found.in_use,
        "architecture": traits.model_type,
        "supported": traits.supported,
        "parameters": traits.parameters,
        "bytes": traits.weights,
        "bits": packed.bits if packed else None,
        "group_size": packed.group_size if packed else None,
        "context": traits.window,
        "tool_calls": template.syntax if template else None,
        "shows_tools": bool(template and template.tools),
        "thinking": [_level(level) for level in template.thinking_levels] if template else [],
        "preserve_thinking": bool(template and template.preserve_thinking),
        "keeps_thoughts": found.keeps_thoughts,
        "memory": {str(length): needed for length, needed in found.needs.items()},
        "largest_context_here": found.longest,
        "fit": found.fit.level,
        "verdict": found.fit.sentence,
        "trouble": found.trouble,
    }


def _level(level: Thinking) -> str:
    return level if isinstance(level, str) else "on" if level else "off"


def _count(number: int) -> str:
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number:,}"
