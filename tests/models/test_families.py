from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache
from mlx_lm.utils import load_model

from punie.models.mlx.chat_format import ChatFormat, ToolSpecification
from tests.assets import TEMPLATES, chat_format, needs_assets
from tests.models.families import (
    FAMILIES,
    TEMPLATE_NAMES,
    TRIMMABLE,
    Family,
    FamilyDirectories,
    TemplateName,
)
from tests.models.tiny_model import build_tokenizer

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "read a.py"},
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "I have to look.",
        "tool_calls": [{"name": "read_file", "arguments": {"path": "a.py"}}],
    },
    {"role": "tool", "content": "def main"},
]
TOOLS = (ToolSpecification("read_file", "Read.", {"properties": {"path": {"type": "string"}}}),)


def prompt(length: int, salt: int = 7) -> list[int]:
    return [(index * salt + index // 5) % 256 for index in range(length)]


def feed(model: Any, cache: list[Any], tokens: list[int]) -> mx.array:
    logits: mx.array = model(mx.array([tokens]), cache=cache)[0, -1]
    mx.eval(logits)
    return logits


def greedy(model: Any, tokens: list[int], pieces: int, length: int) -> tuple[list[int], float]:
    """Prefill in pieces, then decode; return the output and the smallest lead of a choice."""
    cache = make_prompt_cache(model)
    for start in range(0, len(tokens), pieces):
        logits = feed(model, cache, tokens[start : start + pieces])
    output: list[int] = []
    lead = float("inf")
    for _ in range(length):
        ordered = mx.sort(logits)
        lead = min(lead, float(ordered[-1] - ordered[-2]))
        output.append(int(mx.argmax(logits)))
        logits = feed(model, cache, output[-1:])
    return output, lead


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_in_pieces_is_prefill_at_once(
    family: Family, family_directories: FamilyDirectories
) -> None:
    model, _ = load_model(family_directories.own(family))
    assert can_trim_prompt_cache(make_prompt_cache(model)) == (family in TRIMMABLE)
    tokens = prompt(300)
    whole, lead = greedy(model, tokens, 300, 40)
    for pieces in (1, 7, 128, 299):
        assert greedy(model, tokens, pieces, 40)[0] == whole
    assert max(whole) < build_tokenizer().get_vocab_size()
    # Not decided by rounding, not one token for ever, and not the same whatever was asked.
    assert lead > 1e-4
    assert len(set(whole)) > 10
    assert greedy(model, [9, *tokens[1:]], 300, 40)[0] != whole
    assert greedy(model, [*tokens[:-1], 9], 300, 40)[0] != whole


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_templates_have_the_habits_they_stand_for(
    name: TemplateName, family_directories: FamilyDirectories
) -> None:
    chosen = ChatFormat.load(family_directories.own("qwen3", name))
    now = chosen.encode(MESSAGES, TOOLS)
    answer: dict[str, Any] = {"role": "assistant", "content": "Done.", "reasoning_content": "Hm."}
    later = chosen.encode([*MESSAGES, answer, {"role": "user", "content": "go on"}], TOOLS)
    text, later_text = (chosen.vocabulary.text(prompt.tokens) for prompt in (now, later))
    # The last three tokens open the answer, and the thought where there is one.
    appends = later_text.startswith(chosen.vocabulary.text(now.tokens[:-3]))
    assert appends == (name != "strip")
    assert ("I have to look." in text) == (name == "strip")
    assert "I have to look." not in later_text
    assert now.in_thought == (name == "strip")
    assert chosen.syntax == ("json" if name == "json" else "xml")
    closed = chosen.encode(MESSAGES, TOOLS, thinking=False)
    assert not closed.in_thought


@needs_assets
@pytest.mark.parametrize("family", FAMILIES)
def test_models_with_the_published_tokenizer(
    family: Family, family_directories: FamilyDirectories
) -> None:
    published = TEMPLATES[0] if family != "qwen3_5" else TEMPLATES[2]
    directory = family_directories.real(family, published)
    chosen = ChatFormat.load(directory)
    encoded = chosen.encode(MESSAGES, TOOLS).tokens
    assert encoded == chat_format(published).encode(MESSAGES, TOOLS).tokens
    model, _ = load_model(directory)
    whole, lead = greedy(model, encoded, len(encoded), 8)
    assert greedy(model, encoded, 50, 8)[0] == whole
    assert lead > 1e-5
    assert len(set(whole)) > 2


def test_directories_are_built_once(family_directories: FamilyDirectories) -> None:
    first: Path = family_directories.own("qwen3") / "model.safetensors"
    changed = first.stat().st_mtime_ns
    assert family_directories.own("qwen3") / "model.safetensors" == first
    assert first.stat().st_mtime_ns == changed
