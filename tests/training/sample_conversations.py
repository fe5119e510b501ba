"""Small conversations with random names, for tests of training."""

from pathlib import Path
from random import Random
from typing import Any

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.pretraining.tiny_architecture import TinyShape, write_description
from punie.training.pretraining.tokenizer import save_tokenizer, train_tokenizer

SHAPE = TinyShape(
    vocab_size=300,
    hidden_size=32,
    layers=2,
    attention_heads=4,
    key_value_heads=2,
    head_dim=8,
    intermediate_size=48,
)


def called(name: str, **arguments: Any) -> dict[str, Any]:
    """One assistant turn that calls one tool."""
    call = {"function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def conversation(random: Random) -> list[dict[str, Any]]:
    """Read a file of a random name and say what is in it."""
    name = "".join(random.choice("abcdefgh") for _ in range(5)) + ".py"
    value = str(random.randrange(100))
    return [
        {"role": "user", "content": f"What is in {name}?"},
        called("read_file", path=name),
        {"role": "tool", "content": f"1:x = {value}"},
        {"role": "assistant", "content": f"`{name}` sets x to {value}."},
    ]


def conversations(count: int, seed: int = 0) -> list[list[dict[str, Any]]]:
    """As many conversations as asked for; the same for the same seed."""
    random = Random(seed)
    return [conversation(random) for _ in range(count)]


def model_folder(folder: Path) -> ChatFormat:
    """Write a tokenizer, config and template trained on the sample; return their format."""
    tokenizer = train_tokenizer(conversations(300), SHAPE.vocab_size)
    save_tokenizer(tokenizer, folder, SHAPE.max_positions)
    write_description(folder, SHAPE)
    return ChatFormat.load(folder)


def write_data(folder: Path, train: int = 60, valid: int = 8) -> Path:
    """Write a dataset with the parts train and valid into a new folder."""
    parts = {
        name: [
            Example.model_validate({"messages": messages, "task": "read", "executed": True})
            for messages in conversations(count, seed)
        ]
        for name, count, seed in (("train", train, 1), ("valid", valid, 2))
    }
    return write_dataset(folder, Manifest(made_by="sample"), parts).folder
