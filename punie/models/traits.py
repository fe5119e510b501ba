"""What a model can do, from its own files, never from its name.

Light: nothing here imports MLX, tokenizers or jinja2. What only rendering shows, such as whether
earlier thoughts stay in the prompt, `punie.models.mlx.chat_format.ChatFormat` tells.
"""

import ast
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from punie.models.architecture import Quantization, context_window, quantization_of
from punie.models.catalog import ModelChoice, ModelUnavailable, read_json_object
from punie.models.weights import read_weights

if TYPE_CHECKING:
    from punie.models.mlx.chat.parser import CallSyntax

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
"""How hard a model is asked to think, in rising order."""

Thinking = bool | Effort
"""Whether a model thinks, or how hard; a level includes that it does."""

_STATEMENT = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_LITERAL = re.compile(r"""'(\w+)'|"(\w+)\"""")
_ALIAS = re.compile(
    r"""\w*effort\w*\s*==\s*['"](\w+)['"]\s*-?%\}\s*\{%-?\s*set\s+\w*effort\w*\s*=\s*['"]\w+['"]"""
)


@dataclass(frozen=True)
class TemplateTraits:
    """What a chat template can do.

    `tools` tells that it shows tools to the model; `thinking_switch` that thinking can be
    switched off; `efforts` which levels it knows; `preserve_thinking` that it can be told whether
    earlier thoughts stay.
    """

    syntax: "CallSyntax"
    tools: bool
    thinking_switch: bool
    efforts: tuple[Effort, ...]
    preserve_thinking: bool

    @property
    def thinking_levels(self) -> tuple[Thinking, ...]:
        """What a person can choose from: off, on as the model thinks by itself, and the levels.

        Empty where there is no choice.
        """
        if not (self.thinking_switch or self.efforts):
            return ()
        off: tuple[Thinking, ...] = (False,) if self.thinking_switch else ()
        return (*off, True, *self.efforts)


@dataclass(frozen=True)
class ModelTraits:
    """What a model is; `window` in tokens, `weights` in bytes.

    `supported` tells whether the installed mlx-lm has the architecture; `template` is None for a
    model without one, which cannot be talked to.
    """

    model_type: str
    supported: bool
    window: int
    quantization: Quantization | None
    weights: int
    parameters: int
    template: TemplateTraits | None


def read_traits(directory: Path) -> ModelTraits:
    """Read a model's files; raise `ModelUnavailable` if they are not whole."""
    config = read_json_object(directory / "config.json")
    weights = read_weights(directory)
    quantization = quantization_of(config)
    try:
        template = template_traits(template_text(directory))
    except ModelUnavailable:
        template = None
    return ModelTraits(
        model_type=str(config.get("model_type", "")),
        supported=is_supported(config),
        window=context_window(config),
        quantization=quantization,
        weights=weights.nbytes,
        parameters=weights.parameters(quantization.bits if quantization else None),
        template=template,
    )


def template_traits(template: str) -> TemplateTraits:
    """Tell from a chat template's text what it can do."""
    statements = " ".join(_STATEMENT.findall(template))
    return TemplateTraits(
        # The format is shown to the model in the template's text.
        syntax="xml" if "<function=" in template else "json",
        tools=re.search(r"\btools\b", statements) is not None,
        thinking_switch=re.search(r"\benable_thinking\b", statements) is not None,
        efforts=_efforts(template),
        preserve_thinking=re.search(r"\bpreserve_thinking\b", statements) is not None,
    )


def _efforts(template: str) -> tuple[Effort, ...]:
    """Return the levels that a template compares `reasoning_effort` with, the least first.

    A level that is only another name for one of them is left out, and so is a template's default
    when it is the only level that is named: nothing tells then which others it would take.
    """
    if re.search(r"\breasoning_effort\b", template) is None:
        return ()
    named: set[str] = set()
    for statement in _STATEMENT.findall(template):
        if "effort" in statement:
            named.update(first or second for first, second in _LITERAL.findall(statement))
    named -= {match[1] for match in _ALIAS.finditer(template)}
    levels = tuple(level for level in get_args(Effort) if level in named)
    return levels if len(levels) > 1 else ()


def template_text(directory: Path) -> str:
    """Return a model's chat template; raise `ModelUnavailable` where there is none.

    It is in chat_template.jinja, else in chat_template.json or tokenizer_config.json, which may
    hold several by name.
    """
    file = directory / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ModelUnavailable(
                f"{file} cannot be read ({error}); pull the model again."
            ) from error
    for name in ("chat_template.json", "tokenizer_config.json"):
        if (directory / name).is_file():
            template = read_json_object(directory / name).get("chat_template")
            if isinstance(template, list):
                named = {
                    entry.get("name"): entry.get("template")
                    for entry in template
                    if isinstance(entry, Mapping)
                }
                template = named.get("tool_use") or named.get("default")
            if isinstance(template, str):
                return template
    raise ModelUnavailable(
        f"The model in {directory} has no chat template; choose an instruction-tuned model "
        "or add its chat_template.jinja."
    )


def thinking_levels(choice: ModelChoice) -> tuple[Thinking, ...]:
    """Return what can be chosen of a model's thinking, from its files alone; empty for nothing.

    A script says `thinking`, true or a list of levels.
    """
    if choice.path is None:
        return ()
    try:
        if choice.source == "scripted":
            return _scripted_levels(read_json_object(choice.path).get("thinking"))
        return template_traits(template_text(choice.path)).thinking_levels
    except ModelUnavailable:
        return ()


def _scripted_levels(thinking: Any) -> tuple[Thinking, ...]:
    if thinking is True:
        return (False, True)
    if isinstance(thinking, list):
        return (False, True, *(level for level in get_args(Effort) if level in thinking))
    return ()


def is_supported(config: Mapping[str, Any]) -> bool:
    """Tell whether the installed mlx-lm has a model's architecture, without importing it."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        return False
    folder = _mlx_lm()
    if folder is None:
        return False
    if (folder / "models" / f"{model_type}.py").is_file():
        return True
    other = _other_names(folder).get(model_type)
    return other is not None and (folder / "models" / f"{other}.py").is_file()


def check_supported(directory: Path) -> None:
    """Raise `ModelUnavailable` unless the installed mlx-lm can load the model in `directory`."""
    config = read_json_object(directory / "config.json")
    if config.get("model_file"):
        raise ModelUnavailable(
            f"The model in {directory} brings program code of its own, which Punie does not run; "
            "choose another model."
        )
    if not is_supported(config):
        kind = config.get("model_type")
        named = (
            f"of the kind {kind[:60]!r}" if isinstance(kind, str) and kind else "of no known kind"
        )
        raise ModelUnavailable(
            f"The model in {directory} is {named}, which the installed mlx-lm does not know; "
            "update Punie and mlx-lm, or choose another model."
        )


@functools.cache
def _mlx_lm() -> Path | None:
    found = find_spec("mlx_lm")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent


@functools.cache
def _other_names(folder: Path) -> dict[str, str]:
    """Return which architectures mlx-lm loads with another one's module, read from its source."""
    try:
        source = (folder / "utils.py").read_text(encoding="utf-8")
    except OSError:
        return {}
    match = re.search(r"^MODEL_REMAPPING = (\{.*?^\})", source, re.DOTALL | re.MULTILINE)
    return dict(ast.literal_eval(match[1])) if match else {}
