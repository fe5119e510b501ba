"""Published tokenizer and templates, outside the repository; tests skip without them."""

import functools
import os
from pathlib import Path

import pytest

from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.chat_format import ChatFormat

ASSETS = Path(
    os.environ.get("PUNIE_TEST_ASSETS", Path(__file__).parents[1].parent / "shared")
).resolve()
TOKENIZER = ASSETS / "qwen3-coder-30b-a3b" / "tokenizer.json"
TEMPLATES = ("Qwen3-Coder-30B-A3B-Instruct", "Qwen-Qwen3-0.6B", "Qwen3.5-4B")

needs_assets = pytest.mark.skipif(
    not (ASSETS / "chat-templates").is_dir(),
    reason="published Qwen templates and tokenizer not found; set PUNIE_TEST_ASSETS",
)


@functools.cache
def vocabulary() -> Vocabulary:
    return Vocabulary.load(ASSETS / "qwen3-coder-30b-a3b")


def template(name: str) -> str:
    return (ASSETS / "chat-templates" / f"{name}.jinja").read_text(encoding="utf-8")


@functools.cache
def chat_format(name: str) -> ChatFormat:
    return ChatFormat(template(name), vocabulary())
