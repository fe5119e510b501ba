"""What a model is said to need, against what MLX really allocates."""

import importlib
import json
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models.cache import KVCache, QuantizedKVCache, make_prompt_cache

from punie.models.architecture import Architecture, read_architecture
from punie.models.machine import MachineMemory
from punie.models.memory import (
    KvQuantization,
    cache_bytes,
    cache_bytes_per_token,
    estimate,
    fits,
    is_fused,
    largest_context,
    state_bytes,
)
from tests.assets import ASSETS, needs_assets
from tests.models.families import FAMILIES, Family, Size, build_family
from tests.models.held_memory import held_memory

CHUNK = 256
GB = 10**9
_MOST = 1.8
"""How far the estimate of working memory may lie above what was measured."""

DType = Literal["float32", "bfloat16"]


def build(directory: Path, family: Family, dtype: DType) -> tuple[Any, Architecture, int]:
    """Return a random model of four layers, its shape and the bytes of its weights."""
    build_family(directory, family, size=Size(hidden=128, heads=2, layers=4))
    config = json.loads((directory / "config.json").read_text())
    config["dtype"] = dtype
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    model = module.Model(module.ModelArgs.from_dict(config))
    kind = mx.float32 if dtype == "float32" else mx.bfloat16
    model.update(tree_map(lambda weight: weight.astype(kind), model.parameters()))
    mx.eval(model.parameters())
    architecture = read_architecture(config)
    assert architecture is not None
    parameters: list[tuple[str, Any]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    weights = sum(weight.nbytes for _, weight in parameters)
    return model, architecture, weights


def fill(model: Any, tokens: int, kv: KvQuantization | None) -> tuple[int, int]:
    """Read a prompt of random tokens; return the bytes of the cache, and the most besides it."""
    cache = make_prompt_cache(model)
    if kv is not None:
        cache = [
            QuantizedKVCache(kv.group_size, kv.bits) if isinstance(layer, KVCache) else layer
            for layer in cache
        ]
    prompt = mx.random.randint(0, 400, (1, tokens))
    mx.eval(prompt)
    mx.clear_cache()
    before = held_memory()
    peak = 0
    for start in range(0, tokens, CHUNK):
        mx.reset_peak_memory()
        mx.eval(model(prompt[:, start : start + CHUNK], cache=cache)[:, -1])
        mx.eval([layer.state for layer in cache])
        mx.clear_cache()
        peak = max(peak, mx.get_peak_memory())
    held = sum(layer.nbytes for layer in cache)
    return held, peak - before - held


@pytest.mark.parametrize("kv", [None, KvQuantization(4), KvQuantization(8, 32)])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_cache_is_known_to_the_byte_and_the_rest_within_its_margin(
    family: Family, kv: KvQuantization | None, tmp_path: Path
) -> None:
    model, architecture, weights = build(tmp_path, family, "float32")
    for tokens in (512, 1024):
        held, working = fill(model, tokens, kv)
        said = estimate(architecture, weights, context=tokens, chunk=CHUNK, kv=kv, metal=False)
        assert said.cache == held
        assert working <= said.working <= _MOST * working
        assert said.total == weights + held + said.working


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "qwen3_5"])
def test_half_precision(family: Family, tmp_path: Path) -> None:
    model, architecture, weights = build(tmp_path, family, "bfloat16")
    held, working = fill(model, 2048, None)
    said = estimate(architecture, weights, context=2048, chunk=CHUNK, metal=False)
    assert said.cache == held
    assert working <= said.working <= 2.5 * working


def test_a_cache_grows_in_steps(tmp_path: Path) -> None:
    model, architecture, _ = build(tmp_path, "qwen3", "float32")
    for tokens in (1, 255, 256, 257, 600):
        cache = make_prompt_cache(model)
        model(mx.zeros((1, tokens), mx.int32), cache=cache)
        mx.eval([layer.state for layer in cache])
        assert cache_bytes(architecture, tokens) == sum(layer.nbytes for layer in cache)
    assert cache_bytes(architecture, 0) == 0


@needs_assets
def test_a_published_model() -> None:
    config = json.loads((ASSETS / "qwen3-coder-30b-a3b" / "config.json").read_text())
    architecture = read_architecture(config)
    assert architecture is not None
    # 48 layers, 4 heads of 128 for keys and as many for values, two bytes each.
    assert cache_bytes_per_token(architecture) == 48 * 4 * 128 * 2 * 2
    assert architecture.window == 262_144
    assert architecture.experts is not None
    assert (architecture.experts.count, architecture.experts.active) == (128, 8)
    assert is_fused(architecture, None, metal=True)
    assert not is_fused(architecture, KvQuantization(8), metal=True)
    # Fused attention needs no matrix of scores; with packed keys it is 32 heads x 512 x 65,536.
    fused = estimate(architecture, 17 * GB, context=65_536, chunk=512)
    packed = estimate(architecture, 17 * GB, context=65_536, chunk=512, kv=KvQuantization(8))
    assert fused.working < GB
    assert packed.working > 32 * 512 * 65_536 * 4


CODER_NEXT = {
    "model_type": "qwen3_next",
    "hidden_size": 2048,
    "num_hidden_layers": 48,
    "full_attention_interval": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "intermediate_size": 5120,
    "vocab_size": 151_936,
    "max_position_embeddings": 262_144,
    "linear_conv_kernel_dim": 4,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
}
"""The shape of the published Qwen3-Coder-Next."""


def test_a_hybrid_keeps_little_and_is_not_fused() -> None:
    architecture = read_architecture(CODER_NEXT)
    assert architecture is not None
    # Published elsewhere as 24 KiB a token: 12 of 48 layers, two heads of 256.
    assert cache_bytes_per_token(architecture) == 24 * 1024
    assert state_bytes(architecture) == 36 * (3 * 8192 * 2 + 32 * 128 * 128 * 4)
    assert not is_fused(architecture, None, metal=True)


def test_a_nested_configuration_is_read(tmp_path: Path) -> None:
    build_family(tmp_path, "qwen3_5")
    config = json.loads((tmp_path / "config.json").read_text())
    nested = read_architecture(config)
    flat = read_architecture(config["text_config"] | {"model_type": "qwen3_5"})
    assert nested == flat
    assert nested is not None
    assert nested.attention_layers == 1


@pytest.mark.parametrize(
    "config", [{}, {"model_type": "mamba", "hidden_size": 4}, {"model_type": 3, "hidden_size": 4}]
)
def test_a_shape_that_is_not_told_is_no_shape(config: dict[str, Any]) -> None:
    assert read_architecture(config) is None


@given(
    budget=st.integers(0, 200 * GB),
    chunk=st.sampled_from([256, 512, 2048]),
    kv=st.sampled_from([None, KvQuantization(4), KvQuantization(8)]),
    metal=st.booleans(),
)
def test_the_largest_context_is_the_largest(
    budget: int, chunk: int, kv: KvQuantization | None, metal: bool
) -> None:
    architecture = read_architecture(CODER_NEXT)
    assert architecture is not None

    def total(context: int) -> int:
        return estimate(
            architecture, 45 * GB, context=context, chunk=chunk, kv=kv, metal=metal
        ).total

    most = largest_context(architecture, 45 * GB, budget, chunk=chunk, kv=kv, metal=metal)
    assert most % 256 == 0
    assert most == 0 or total(most) <= budget
    assert most == architecture.window or total(most + 256) > budget


def verdict(usable: int, available: int, weights: int = 17 * GB) -> Any:
    architecture = read_architecture(CODER_NEXT)
    machine = MachineMemory(2 * usable, usable, available, "metal")
    return fits(architecture, weights, machine, context=32_768)


def test_the_verdict_is_a_sentence_with_the_cure() -> None:
    good = verdict(32 * GB, 30 * GB)
    assert good.level == "fits"
    assert good.sentence.startswith("It needs about 19.3 GB with 32,768 tokens")
    tight = verdict(32 * GB, 10 * GB)
    assert tight.level == "tight"
    assert "close other programs" in tight.sentence
    short = verdict(18 * GB, 18 * GB)
    assert short.level == "short"
    assert "tokens" in short.sentence
    none = verdict(12 * GB, 12 * GB)
    assert none.level == "no"
    assert "smaller model" in none.sentence
    for found in (good, tight, short, none):
        assert found.sentence.endswith(".")
        assert found.sentence.count(". ") == 0


def test_without_a_shape_the_weights_alone_count() -> None:
    machine = MachineMemory(16 * GB, 16 * GB, 16 * GB, "ram")
    assert fits(None, 2 * GB, machine, context=4096).level == "fits"
    assert fits(None, 20 * GB, machine, context=4096).level == "no"
