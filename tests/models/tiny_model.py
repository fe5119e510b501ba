"""A small random model with a real tokenizer, built on the fly."""

import json
import re
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten
from mlx_lm.models import mamba, qwen3
from mlx_lm.utils import load_model
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from punie.models.mlx.chat_format import ChatFormat

CONTROL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)

_SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

_TEXT = [
    "The quick brown fox jumps over the lazy dog. user assistant system tool function parameter",
    "def main() -> None:\n    print('hello', path)\n\nclass Reader:\n    name: str = 'x'\n",
    "<function=read_file>\n<parameter=path>\nsrc/app.py\n</parameter>\n</function>\n",
    '{"name": "read_file", "arguments": {"path": "src/app.py"}}',
]

XML_TEMPLATE = """
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content }}
{{- '\\n</tool_response><|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- if message.content %}{{- message.content | trim }}{%- endif %}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n<function=' + call.function.name + '>\\n' }}
{%- for key, value in call.function.arguments | items %}
{{- '<parameter=' + key + '>\\n' + value + '\\n</parameter>\\n' }}
{%- endfor %}
{{- '</function>\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
""".strip()

READ_CALL = (
    "<tool_call>\n<function=read_file>\n<parameter=path>\na.py\n</parameter>\n"
    "</function>\n</tool_call>"
)
LESSONS = {
    "read": "I look.\n" + READ_CALL,
    "both": READ_CALL + "\n" + READ_CALL,
    "think": "<think>\nIt is a sum.\n</think>\n\nFour.",
    "say": "The answer is four and five, é!",
    "break": "<tool_call>\nread it\n</tool_call>",
}
"""What the taught model answers, by the user's message."""

_READ_TURN: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "read"},
    {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [{"name": "read_file", "arguments": {"path": "a.py"}}],
    },
    {"role": "tool", "content": "1:four"},
]
CONVERSATIONS: list[tuple[list[dict[str, Any]], str]] = [
    *(([{"role": "user", "content": question}], answer) for question, answer in LESSONS.items()),
    (_READ_TURN[:2], LESSONS["read"]),
    (_READ_TURN, "It says four."),
]
"""Histories and what the taught model answers to them."""


def build_tokenizer() -> Tokenizer:
    """Train a byte-level BPE of about 500 tokens with Qwen's control tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in CONTROL[:3]])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in CONTROL[3:]])
    return tokenizer


def build_model(directory: Path, *, window: int = 4096, seed: int = 0) -> Path:
    """Write a whole model directory."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    end = tokenizer.token_to_id("<|im_end|>")
    config: dict[str, Any] = {
        "model_type": "qwen3",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "rms_norm_eps": 1e-6,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": window,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "eos_token_id": end,
    }
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>"})
    )
    (directory / "chat_template.jinja").write_text(XML_TEMPLATE)
    mx.random.seed(seed)
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))  # type: ignore[no-untyped-call]
    save_weights(directory, model)
    return directory


def build_recurrent_model(directory: Path) -> None:
    """Write the weights of a small model whose cache is a state that cannot be trimmed."""
    config: dict[str, Any] = {
        "model_type": "mamba",
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 64,
        "state_size": 8,
        "num_hidden_layers": 2,
        "conv_kernel": 4,
        "use_bias": False,
        "use_conv_bias": True,
        "time_step_rank": 4,
    }
    (directory / "config.json").write_text(json.dumps(config))
    mx.random.seed(1)
    args = mamba.ModelArgs.from_dict(config)  # type: ignore[no-untyped-call]
    save_weights(directory, mamba.Model(args))


def teach(directory: Path, steps: int = 300) -> None:
    """Train the model in `directory` until it knows its answers by heart."""
    chat_format = ChatFormat.load(directory)
    vocabulary = chat_format.vocabulary
    rows = []
    for messages, answer in CONVERSATIONS:
        prompt = chat_format.encode(messages).tokens
        reply: list[int] = []
        for piece in re.split("(" + "|".join(map(re.escape, CONTROL)) + ")", answer):
            known = vocabulary.control.get(piece)
            reply += vocabulary.encode_text(piece) if known is None else [known]
        rows.append((len(prompt), [*prompt, *reply, vocabulary.control["<|im_end|>"]]))
    width = max(len(row) for _, row in rows)
    tokens = mx.array([row + [0] * (width - len(row)) for _, row in rows])
    mask = mx.array(
        [[float(start <= i + 1 < len(row)) for i in range(width - 1)] for start, row in rows]
    )
    model, _ = load_model(directory)
    model.train()
    optimizer = optim.Adam(learning_rate=3e-3)

    def loss(model: Any) -> mx.array:
        logits = model(tokens[:, :-1])
        return (nn.losses.cross_entropy(logits, tokens[:, 1:]) * mask).sum() / mask.sum()

    step = nn.value_and_grad(model, loss)  # type: ignore[attr-defined]
    value = mx.array(9.0)
    for _ in range(steps):
        value, gradients = step(model)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state, value)
        if float(value) < 0.003:
            break
    assert float(value) < 0.05, float(value)
    save_weights(directory, model)


def save_weights(directory: Path, model: Any) -> None:
    mx.save_safetensors(
        str(directory / "model.safetensors"), dict(tree_flatten(model.parameters()))
    )
