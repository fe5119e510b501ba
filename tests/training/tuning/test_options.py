import pytest
from pydantic import ValidationError

from punie.training.errors import TrainingError
from punie.training.tuning.layers import check_fit
from punie.training.tuning.options import TuneOptions

_DENSE = {
    "model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
_EXPERTS = _DENSE | {
    "model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}  # fmt: skip


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="full training has none"):
        TuneOptions(kind="full", keys=("mlp.up_proj",))
    with pytest.raises(ValidationError, match="by full training alone"):
        TuneOptions(embeddings=True)
    with pytest.raises(ValidationError, match="leaves none of 10"):
        TuneOptions(steps=10, warm_up=10)
    with pytest.raises(ValidationError, match="Extra inputs"):
        TuneOptions.model_validate({"iterations": 3})


def test_what_a_model_cannot_be_trained_with_is_known_from_its_config() -> None:
    attention = ("self_attn.q_proj",)
    for options in (
        TuneOptions(),
        TuneOptions(kind="dora", keys=attention),
        TuneOptions(optimizer="muon", keys=attention),
        TuneOptions(kind="full"),
    ):
        check_fit(options, _EXPERTS)
    check_fit(TuneOptions(kind="dora"), _DENSE)
    with pytest.raises(TrainingError, match="DoRA cannot be trained on a mixture of experts"):
        check_fit(TuneOptions(kind="dora"), _EXPERTS)
    with pytest.raises(TrainingError, match="DoRA cannot be trained on a mixture of experts"):
        check_fit(TuneOptions(kind="dora", keys=("mlp.switch_mlp.up_proj",)), _EXPERTS)
    with pytest.raises(TrainingError, match="an adapter of experts is a stack"):
        check_fit(TuneOptions(optimizer="muon"), _EXPERTS)
    packed = _DENSE | {"quantization": {"bits": 4, "group_size": 64}}
    check_fit(TuneOptions(), packed)
    with pytest.raises(TrainingError, match="weights of a quantised model"):
        check_fit(TuneOptions(kind="full"), packed)
