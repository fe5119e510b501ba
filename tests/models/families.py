"""Small random models of every family, as whole model directories.

They have the architecture, the cache and the template habits of the published models and fit in
about a megabyte, so what holds for a family can be shown in a second on a CPU. Their answers are
noise, but sharp noise: the likeliest token is far from the next one, and repetition is rare.
"""

import importlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
from mlx.utils import tree_map_with_path

from tests.assets import ASSETS, template
from tests.models.tiny_model import XML_TEMPLATE, build_tokenizer, save_weights

Family = Literal["qwen2", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_5"]
FAMILIES: tuple[Family, ...] = ("qwen2", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_5")
TRIMMABLE: tuple[Family, ...] = ("qwen2", "qwen3", "qwen3_moe")
"""Families whose caches can be cut at any token; the others keep a running state."""

TemplateName = Literal["append", "json", "strip"]
TEMPLATE_NAMES: tuple[TemplateName, ...] = ("append", "json", "strip")

JSON_TEMPLATE = """
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}
{%- else %}{{- 'You help.\\n\\n' }}
{%- endif %}
{{- 'Functions, one JSON object a line:' }}
{%- for tool in tools %}{{- '\\n' + tool.function | tojson }}{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{%- if loop.first or loop.previtem.role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant' }}
{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": ' + call.function.name | tojson }}
{{- ', "arguments": ' + call.function.arguments | tojson + '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'user' or not loop.first %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
""".strip()
"""As in Qwen2.5: append-only, JSON calls, a system block of its own when none is given."""

STRIP_TEMPLATE = """
{%- if tools or messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' }}
{%- for tool in tools or [] %}{{- tool.function | tojson + '\\n' }}{%- endfor %}
{%- if messages[0].role == 'system' %}{{- messages[0].content }}{%- endif %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- set query = namespace(at=-1) %}
{%- for message in messages %}
{%- if message.role == 'user' %}{%- set query.at = loop.index0 %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{%- if loop.first or loop.previtem.role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- if loop.index0 > query.at %}
{{- '<think>\\n' + (message.reasoning_content or '') | trim + '\\n</think>\\n\\n' }}
{%- endif %}
{{- message.content | trim }}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n<function=' + call.function.name + '>\\n' }}
{%- for key, value in call.function.arguments | items %}
{{- '<parameter=' + key + '>\\n' + value + '\\n</parameter>\\n' }}
{%- endfor %}
{{- '</function>\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'user' or not loop.first %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n<think>\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '\\n</think>\\n\\n' }}
{%- endif %}
{%- endif %}
""".strip()
"""As in Qwen3 and Qwen3.5: thoughts of earlier turns go at each new user message, and the prompt
opens the thought, or closes it at once when thinking is off."""

OWN_TEMPLATES: dict[TemplateName, str] = {
    "append": XML_TEMPLATE,
    "json": JSON_TEMPLATE,
    "strip": STRIP_TEMPLATE,
}

_CONTROL_FILES = ("tokenizer.json", "tokenizer_config.json")
_REAL_TOKENIZER = "qwen3-coder-30b-a3b"
_REAL_VOCABULARY = 151_936
_REAL_TOKENS = 151_669
_REAL_END = 151_645


@dataclass(frozen=True)
class Size:
    """Shape of a model; hybrids need an even number of layers, qwen2 has one head always."""

    hidden: int = 64
    heads: int = 2
    layers: int = 2


def build_family(
    directory: Path,
    family: Family,
    template_name: TemplateName = "append",
    *,
    size: Size | None = None,
    seed: int = 0,
    window: int = 32_768,
) -> Path:
    """Write a model of `family` with the tests' small tokenizer and return its directory."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>"})
    )
    (directory / "chat_template.jinja").write_text(OWN_TEMPLATES[template_name])
    tokens = tokenizer.get_vocab_size()
    end = tokenizer.token_to_id("<|im_end|>")
    assert end is not None
    # Published models have a vocabulary rounded up.
    config = _config(family, size or Size(), -(-tokens // 64) * 64, end, window)
    _write_model(directory, config, tokens, seed)
    return directory


def build_real_family(
    directory: Path,
    family: Family,
    published: str,
    *,
    size: Size | None = None,
    seed: int = 0,
    window: int = 262_144,
) -> Path:
    """Write a model of `family` with the published tokenizer and the template `published`.

    Needs the assets of `tests.assets`; about 20 MB, almost all of it the embedding.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in _CONTROL_FILES:
        shutil.copyfile(ASSETS / _REAL_TOKENIZER / name, directory / name)
    (directory / "chat_template.jinja").write_text(template(published), encoding="utf-8")
    config = _config(family, size or Size(hidden=32), _REAL_VOCABULARY, _REAL_END, window)
    _write_model(directory, config, _REAL_TOKENS, seed)
    return directory


class FamilyDirectories:
    """Model directories under `root`, each built when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def own(self, family: Family, template_name: TemplateName = "append") -> Path:
        """A model with the tests' tokenizer and one of the tests' templates."""
        directory = self.root / f"{family}-{template_name}"
        if not (directory / "model.safetensors").exists():
            build_family(directory, family, template_name)
        return directory

    def real(self, family: Family, published: str) -> Path:
        """A model with the published tokenizer and the template `published`."""
        directory = self.root / f"{family}-{published}"
        if not (directory / "model.safetensors").exists():
            build_real_family(directory, family, published)
        return directory


def _config(family: Family, size: Size, vocabulary: int, end: int, window: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_type": family,
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "intermediate_size": 2 * size.hidden,
        "num_attention_heads": size.heads,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6,
        "vocab_size": vocabulary,
        "max_position_embeddings": window,
        "rope_theta": 1_000_000.0,
        "tie_word_embeddings": True,
        "eos_token_id": end,
    }
    head_dim = {"head_dim": 64}
    experts = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "moe_intermediate_size": size.hidden // 2,
        "norm_topk_prob": True,
    }
    # Of the two kinds of layers of the hybrids, every second one attends.
    hybrid = {
        "full_attention_interval": 2,
        "linear_num_value_heads": 2,
        "linear_num_key_heads": 1,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "linear_conv_kernel_dim": 4,
    }
    match family:
        case "qwen2":
            # Its heads share the hidden size.
            return config | {"num_attention_heads": 1}
        case "qwen3":
            return config | head_dim
        case "qwen3_moe":
            return config | head_dim | experts
        case "qwen3_next":
            shared = {"shared_expert_intermediate_size": 32, "partial_rotary_factor": 0.25}
            return config | head_dim | experts | hybrid | shared
        case "qwen3_5":
            rope = {
                "type": "default",
                "mrope_section": [11, 11, 10],
                "rope_theta": config.pop("rope_theta"),
                "partial_rotary_factor": 0.25,
            }
            text = config | head_dim | hybrid | {"rope_parameters": rope}
            text["model_type"] = "qwen3_5_text"
            return {"model_type": "qwen3_5", "eos_token_id": end, "text_config": text}


def _write_model(directory: Path, config: dict[str, Any], tokens: int, seed: int) -> None:
    (directory / "config.json").write_text(json.dumps(config))
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    mx.random.seed(seed)
    model: Any = module.Model(module.ModelArgs.from_dict(config))
    model.update(tree_map_with_path(_sharpen, model.parameters()))
    # As in published models, rows beyond the tokenizer's ids say nothing.
    rows = model.model.embed_tokens.weight
    model.model.embed_tokens.weight = mx.where(mx.arange(len(rows))[:, None] < tokens, rows, 0.0)
    save_weights(directory, model)


def _sharpen(path: str, weight: mx.array) -> mx.array:
    """Make attention choose, and what a layer adds outweigh the token itself.

    With plain random weights attention takes the mean of everything, and tied embeddings repeat
    the last token for ever.
    """
    if path.endswith("q_norm.weight"):
        return weight * 6.0
    if path.endswith(("q_proj.weight", "k_proj.weight")):
        return weight * 4.0
    if path.endswith(("o_proj.weight", "down_proj.weight", "out_proj.weight")):
        return weight * 6.0
    return weight
