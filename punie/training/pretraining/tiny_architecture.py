"""The bundled model's shape, and the files around its weights that make it a model directory."""

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, assert_never

Calls = Literal["xml", "json"]
"""How a model writes tool calls: as Qwen3-Coder does, or as Qwen3 does."""

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"

CONTROL_TOKENS = (
    END_OF_TEXT,
    TURN_START,
    TURN_END,
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)
"""The tokens that text never becomes, in the order of their ids at the end of the vocabulary."""


@dataclass(frozen=True)
class TinyShape:
    """The measures of a small Qwen3 network with tied embeddings.

    Attributes:
        vocab_size: number of token ids, control tokens included.
        hidden_size: width of the residual stream.
        layers: number of transformer blocks.
        attention_heads: query heads per block.
        key_value_heads: key and value heads per block; divides `attention_heads`.
        head_dim: width of one head.
        intermediate_size: width of the gated feed-forward block.
        max_positions: longest conversation in tokens.
        rope_theta: base of the rotary frequencies.
        epsilon: what keeps the norms from dividing by zero.
    """

    vocab_size: int = 1024
    hidden_size: int = 256
    layers: int = 4
    attention_heads: int = 8
    key_value_heads: int = 2
    head_dim: int = 32
    intermediate_size: int = 640
    max_positions: int = 2048
    rope_theta: float = 10_000.0
    epsilon: float = 1e-6

    @property
    def parameter_count(self) -> int:
        """How many numbers the weights hold."""
        attended = (2 * self.attention_heads + 2 * self.key_value_heads) * self.head_dim
        norms = 2 * self.hidden_size + 2 * self.head_dim
        block = self.hidden_size * (attended + 3 * self.intermediate_size) + norms
        return self.vocab_size * self.hidden_size + self.layers * block + self.hidden_size

    def as_dict(self) -> dict[str, Any]:
        """The measures as plain values, for a checkpoint."""
        return asdict(self)


def config(shape: TinyShape) -> dict[str, Any]:
    """The content of config.json for this shape."""
    first = shape.vocab_size - len(CONTROL_TOKENS)
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.attention_heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.intermediate_size,
        "max_position_embeddings": shape.max_positions,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": shape.epsilon,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
        "bos_token_id": first + CONTROL_TOKENS.index(END_OF_TEXT),
        "pad_token_id": first + CONTROL_TOKENS.index(END_OF_TEXT),
        "eos_token_id": [
            first + CONTROL_TOKENS.index(TURN_END),
            first + CONTROL_TOKENS.index(END_OF_TEXT),
        ],
    }


def chat_template(calls: Calls = "xml") -> str:
    """The text of the bundled model's chat template, or the same with calls as JSON."""
    match calls:
        case "xml":
            file = files("punie.models.tiny") / "chat_template.jinja"
        case "json":
            file = files("punie.training.pretraining") / "json_calls.jinja"
        case _:
            assert_never(calls)
    return file.read_text(encoding="utf-8")


def write_description(folder: Path, shape: TinyShape) -> None:
    """Write config.json, generation_config.json and the chat template into `folder`."""
    described = config(shape)
    generation = {
        "bos_token_id": described["bos_token_id"],
        "pad_token_id": described["pad_token_id"],
        "eos_token_id": described["eos_token_id"],
        "do_sample": False,
    }
    for name, content in (("config.json", described), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(chat_template(), encoding="utf-8")
