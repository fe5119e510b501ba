"""Layer by layer a model says what it says as a whole, whatever its family."""

from typing import Any

import mlx.core as mx
import pytest

from punie.models.mlx.library import build_model
from punie.training.data.sequences import TrainingSequence
from punie.training.errors import TrainingError
from punie.training.layerwise import last_states
from punie.training.model_folder import tensors_of
from punie.training.progress import Interrupted

DENSE = {
    "model_type": "qwen3",
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 50,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
EXPERTS = DENSE | {
    "model_type": "qwen3_moe",
    "tie_word_embeddings": False,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "moe_intermediate_size": 32,
    "norm_topk_prob": True,
}
HYBRID = EXPERTS | {
    "model_type": "qwen3_next",
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_conv_kernel_dim": 4,
    "shared_expert_intermediate_size": 32,
    "partial_rotary_factor": 0.25,
    "full_attention_interval": 2,
}


def built(config: dict[str, Any]) -> Any:
    mx.random.seed(3)
    model = build_model(config)
    mx.eval(model.parameters())
    return model


SEQUENCES = [
    TrainingSequence([7, 8, 9, 10, 11, 12], [False, False, False, True, True, False]),
    TrainingSequence([3, 4, 5], [False, False, True]),
    TrainingSequence([20, 21], [True, False]),  # nothing is before its learned token
]


@pytest.mark.parametrize("config", [DENSE, EXPERTS, HYBRID], ids=["dense", "experts", "hybrid"])
@pytest.mark.parametrize("tokens", [4, 4096])
def test_it_says_the_same(
    config: dict[str, Any], tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("punie.training.layerwise._BATCH_TOKENS", tokens)
    model = built(config)
    wanted = {
        each.ids[place]: model(mx.array([each.ids]))[0, place - 1]
        for each in SEQUENCES
        for place in range(1, len(each.ids))
        if each.learned[place]
    }
    mx.eval(wanted)
    layers = list(model.model.layers)
    found = last_states(model, SEQUENCES, "running")
    targets: Any = found.targets.tolist()
    assert sorted(targets) == sorted(wanted) == [5, 10, 11]
    logits = found.score(found.states)
    for row, target in enumerate(targets):
        assert mx.allclose(logits[row], wanted[target], atol=1e-4).item()
    # What they held is gone.
    assert sum(t.size for layer in layers for t in tensors_of(layer).values()) == 0


def test_it_can_be_stopped_and_refuses_what_has_no_answers() -> None:
    with pytest.raises(Interrupted):
        last_states(built(DENSE), SEQUENCES, "running", stopped=lambda: True)
    with pytest.raises(TrainingError, match="answer"):
        last_states(built(DENSE), SEQUENCES[2:], "running")
